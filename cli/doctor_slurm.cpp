// SPDX-License-Identifier: Apache-2.0
// What `slipway doctor` says about Slurm: is the plugin loaded, and is it the right one?
#include "base/capture.hpp"
#include "base/cursor.hpp"
#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "base/trusted_path.hpp"
#include "base/words.hpp"
#include "cli/doctor.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <elf.h>
#include <fcntl.h>

namespace slipway::cli {
namespace {

constexpr std::size_t max_text = 1U << 20U;
constexpr std::size_t max_plugin = 64U << 20U;
constexpr std::size_t max_answer = 4096;
constexpr int answer_ms = 10'000;
/// The half of the plugin that Slurm does not know of; beside the one in plugstack.conf.
constexpr std::string_view core_name = "spank_slipway_core.so";

/// "slurm-wlm 22.05.8" -> "22.05".
std::string slurm_release(const std::string& srun, const std::string& slurm_conf) {
    base::Child::Spawn what{srun, {"srun", "--version"}, {}, {}};
    if (!slurm_conf.empty()) {
        what.environment.push_back("SLURM_CONF=" + slurm_conf);
    }
    const auto answer = base::capture_output(std::move(what), max_answer, base::Deadline(answer_ms));
    if (!answer) {
        return {};
    }
    const std::string_view text = answer->output;
    const auto digits = text.find_first_of("0123456789");
    if (digits == std::string_view::npos) {
        return {};
    }
    const auto parts = base::split(text.substr(digits), '.');
    return parts.size() < 2 ? std::string() : fmt::format("{}.{}", parts[0], parts[1]);
}

/// The word in front, and what follows the blanks behind it.
std::pair<std::string_view, std::string_view> first_word(std::string_view text) {
    const auto gap = text.find_first_of(" \t");
    return gap == std::string_view::npos
               ? std::pair(text, std::string_view())
               : std::pair(text.substr(0, gap), base::trim(text.substr(gap)));
}

/// A structure of an ELF file at an offset; nothing when it does not fit in.
template <typename T>
bool read_at(const std::string& bytes, std::uint64_t at, T& target) {
    if (at > bytes.size() || bytes.size() - at < sizeof(T)) {
        return false;
    }
    std::memcpy(&target, bytes.data() + at, sizeof(T));
    return true;
}

/// File offset of what is loaded at `address`.
bool to_offset(const std::string& bytes, const Elf64_Ehdr& head, std::uint64_t address,
               std::uint64_t& offset) {
    for (unsigned i = 0; i < head.e_phnum; ++i) {
        Elf64_Phdr part{};
        if (read_at(bytes, head.e_phoff + i * sizeof part, part) && part.p_type == PT_LOAD &&
            address >= part.p_vaddr && address - part.p_vaddr < part.p_filesz) {
            offset = part.p_offset + (address - part.p_vaddr);
            return true;
        }
    }
    return false;
}

/// Value of the exported `plugin_version`, 0 when there is none.
std::uint32_t plugin_version(const std::string& bytes) {
    Elf64_Ehdr head{};
    if (!read_at(bytes, 0, head) || std::memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
        head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_shentsize != sizeof(Elf64_Shdr)) {
        return 0;
    }
    for (unsigned i = 0; i < head.e_shnum; ++i) {
        Elf64_Shdr table{};
        Elf64_Shdr names{};
        if (!read_at(bytes, head.e_shoff + i * sizeof table, table) ||
            table.sh_type != SHT_DYNSYM ||
            !read_at(bytes, head.e_shoff + table.sh_link * sizeof names, names)) {
            continue;
        }
        for (std::uint64_t at = 0; at + sizeof(Elf64_Sym) <= table.sh_size;
             at += sizeof(Elf64_Sym)) {
            Elf64_Sym symbol{};
            std::uint64_t offset = 0;
            std::uint32_t value = 0;
            constexpr std::string_view wanted("plugin_version\0", 15);
            if (read_at(bytes, table.sh_offset + at, symbol) && symbol.st_shndx != SHN_UNDEF &&
                std::string_view(bytes)
                    .substr(std::min<std::uint64_t>(names.sh_offset + symbol.st_name, bytes.size()))
                    .starts_with(wanted) &&
                to_offset(bytes, head, symbol.st_value, offset) && read_at(bytes, offset, value)) {
                return value;
            }
        }
    }
    return 0;
}

/// Lines of a file in Slurm's style without comments and blanks around, `include` lines followed one
/// level deep.
void read_lines(const std::string& path, int depth, std::vector<std::string>& lines) {
    const auto text = base::read_file(path, max_text);
    if (!text || depth > 1) {
        return;
    }
    for (const auto line : base::split(*text, '\n')) {
        const auto code = base::trim(line.substr(0, line.find('#')));
        const auto [word, rest] = first_word(code);
        if (base::equal_ignoring_case(word, "include")) {
            const auto other = first_word(rest).first;
            if (other.starts_with('/') && other.find('*') == std::string_view::npos) {
                read_lines(std::string(other), depth + 1, lines);
            }
        } else if (!code.empty()) {
            lines.emplace_back(code);
        }
    }
}

/// The value of a key of slurm.conf; the last line that has it counts.
std::string slurm_setting(const std::string& conf, std::string_view key) {
    std::vector<std::string> lines;
    read_lines(conf, 0, lines);
    std::string value;
    for (const std::string_view line : lines) {
        const auto equals = line.find('=');
        if (equals != std::string_view::npos &&
            base::equal_ignoring_case(base::trim(line.substr(0, equals)), key)) {
            value = base::trim(line.substr(equals + 1));
        }
    }
    return value;
}

/// Why Slurm's programs must not or cannot load this half of the plugin, if so.
std::optional<Finding> check_half(const std::string& path, const char* without) {
    const auto file = base::open_trusted(path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0,
                                         base::Code::plugin_misconfigured);
    if (file) {
        return std::nullopt;
    }
    if (file.error().sys_errno == ENOENT) {
        return Finding{Verdict::fail, "plugin",
                       fmt::format("{} is missing: {} fails", base::in_quotes(path), without),
                       "install the plugin on this host, or remove its line from plugstack.conf"};
    }
    return Finding{Verdict::fail, "plugin",
                   fmt::format("root's daemons load {}: {}", base::in_quotes(path),
                               file.error().message),
                   file.error().hint};
}

} // namespace

std::string plugin_release(const std::string& plugin_path) {
    const auto bytes = base::read_file(plugin_path, max_plugin);
    const auto version = bytes ? plugin_version(*bytes) : 0;
    return version == 0 ? std::string()
                        : fmt::format("{}.{:02}", version >> 16U, (version >> 8U) & 0xffU);
}

std::vector<std::string> plugins_of(const std::string& plugstack_path) {
    std::vector<std::string> lines;
    read_lines(plugstack_path, 0, lines);
    std::vector<std::string> plugins;
    for (const std::string_view line : lines) {
        const auto [word, rest] = first_word(line);
        const auto path = first_word(rest).first;
        if ((word == "required" || word == "optional") &&
            base::base_name(path).starts_with("spank_slipway")) {
            plugins.emplace_back(path);
        }
    }
    return plugins;
}

Finding check_plugin(const std::string& path, const std::string& release) {
    const auto core = base::join_path(base::dir_name(path), core_name);
    if (auto finding = check_half(path, "every srun")) {
        return *finding;
    }
    if (auto finding = check_half(core, "every job that asks for a container")) {
        return *finding;
    }
    const auto built_for = plugin_release(path);
    if (!release.empty() && built_for != release) {
        return {Verdict::fail, "plugin",
                fmt::format("{} is for Slurm {}, this is Slurm {}: every srun fails",
                            base::in_quotes(path), built_for.empty() ? "?" : built_for, release),
                "build and install the plugin for this release"};
    }
    return {Verdict::pass,
            "plugin",
            fmt::format("{} for Slurm {}", base::in_quotes(path), built_for),
            {}};
}

std::optional<Finding> check_launch_parameters(const std::string& slurm_conf) {
    const auto value = slurm_setting(slurm_conf, "LaunchParameters");
    const auto parameters = base::split(value, ',');
    const bool tests = std::any_of(parameters.begin(), parameters.end(), [](std::string_view word) {
        return base::equal_ignoring_case(base::trim(word), "test_exec");
    });
    if (!tests) {
        return std::nullopt;
    }
    return Finding{Verdict::warn, "slurm-launch",
                   base::in_quotes(slurm_conf) + " has LaunchParameters=test_exec: srun refuses a "
                                                 "command that only the image has",
                   "remove test_exec, or let users start such commands by /usr/bin/env or sh -c"};
}

std::vector<Finding> check_slurm(const Surroundings& around) {
    const auto srun = base::find_in_path("srun", around.search_path);
    if (srun.empty()) {
        return {{Verdict::warn, "slurm",
                 "no srun here: `slipway` works, --container-image does not",
                 "install Slurm's client commands, or ignore this"}};
    }
    std::vector<Finding> findings;
    const auto release = slurm_release(srun, around.slurm_conf);
    findings.push_back({release.empty() ? Verdict::warn : Verdict::pass, "slurm",
                        release.empty() ? "srun --version says nothing" : "Slurm " + release,
                        release.empty() ? "is slurm.conf in place?" : ""});
    const auto conf =
        around.slurm_conf.empty() ? around.root + "/etc/slurm/slurm.conf" : around.slurm_conf;
    if (auto finding = check_launch_parameters(conf)) {
        findings.push_back(std::move(*finding));
    }
    const auto plugstack = base::join_path(base::dir_name(conf), "plugstack.conf");
    const auto plugins = plugins_of(plugstack);
    if (plugins.empty()) {
        findings.push_back({Verdict::fail, "plugin",
                            base::in_quotes(plugstack) + " does not load the plugin",
                            "add: required /usr/local/lib/slurm/spank_slipway.so"});
    }
    for (const auto& plugin : plugins) {
        if (plugin.starts_with('/')) {
            findings.push_back(check_plugin(plugin, release));
        }
    }
    return findings;
}

} // namespace slipway::cli
