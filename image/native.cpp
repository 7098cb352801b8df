// SPDX-License-Identifier: Apache-2.0
#include "image/native.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "base/words.hpp"
#include "image/inspect.hpp"
#include "base/json.hpp"
#include "image/native_scripts.hpp"
#include "image/transports.hpp"

#include <algorithm>
#include <array>
#include <array>
#include <ctime>

namespace slipway::image {

namespace json = base::json;
namespace {

constexpr std::string_view environment_path = ".singularity.d/env/10-docker2singularity.sh";
constexpr std::string_view hook_path = ".singularity.d/env/90-environment.sh";

/// The inside of a double-quoted sh word: backslash before \ " ` $.
std::string sh_escaped(std::string_view word) {
    std::string out;
    for (const char c : word) {
        if (c == '\\' || c == '"' || c == '`' || c == '$') {
            out += '\\';
        }
        out += c;
    }
    return out;
}

/// "a" "b c": every word in double quotes, escaped, for `eval`.
std::string evaluated_words(const std::vector<std::string>& words) {
    std::string out;
    for (const auto& word : words) {
        out += (out.empty() ? "\"" : " \"") + sh_escaped(word) + "\"";
    }
    return out;
}

/// 'a' 'b c': the words exactly, for `set --`.
std::string exact_words(const std::vector<std::string>& words) {
    return base::joined(words, " ", base::shell_quote);
}

/// "Saturday_21_November_2026_0:17:24_UTC", no leading zeros.
std::string build_date(std::int64_t seconds) {
    static constexpr std::array<std::string_view, 7> days = {
        "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
    static constexpr std::array<std::string_view, 12> months = {
        "January", "February", "March",     "April",   "May",      "June",
        "July",    "August",   "September", "October", "November", "December"};
    const auto when = static_cast<std::time_t>(seconds);
    std::tm parts{};
    if (::gmtime_r(&when, &parts) == nullptr) {
        return {};
    }
    return fmt::format("{}_{}_{}_{}_{}:{}:{}_UTC", days[static_cast<std::size_t>(parts.tm_wday)],
                       parts.tm_mday, months[static_cast<std::size_t>(parts.tm_mon)],
                       parts.tm_year + 1900, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

/// One line, whatever the user wrote.
std::string one_line(std::string_view text) {
    std::string out(text);
    std::replace_if(
        out.begin(), out.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
    return out;
}

std::string without_newlines(std::string text) {
    while (text.ends_with('\n')) {
        text.pop_back();
    }
    return text;
}

std::string labels_text(const std::map<std::string, std::string>& labels) {
    json::Value object = json::Value::object();
    for (const auto& [key, value] : labels) {
        object[key] = value;
    }
    return json::indented(object);
}

/// The directories, top down. Those outside .singularity.d are only made when missing.
void add_directories(std::vector<NativeEntry>& tree) {
    for (const auto path : {".singularity.d", ".singularity.d/actions", ".singularity.d/env",
                            ".singularity.d/libs"}) {
        tree.push_back({path, EntryKind::directory, EntryRule::directory, 0755, {}});
    }
    for (const auto path : {"dev", "etc", "home", "proc", "root", "sys", "tmp", "var", "var/tmp"}) {
        tree.push_back({path, EntryKind::directory, EntryRule::keep, 0755, {}});
    }
}

void add_symlinks(std::vector<NativeEntry>& tree) {
    constexpr std::array<std::array<std::string_view, 2>, 6> links = {{
        {"singularity", ".singularity.d/runscript"},
        {".run", ".singularity.d/actions/run"},
        {".exec", ".singularity.d/actions/exec"},
        {".test", ".singularity.d/actions/test"},
        {".shell", ".singularity.d/actions/shell"},
        {"environment", ".singularity.d/env/90-environment.sh"},
    }};
    for (const auto& link : links) {
        tree.push_back({std::string(link[0]), EntryKind::symlink, EntryRule::link, 0777,
                        std::string(link[1])});
    }
}

} // namespace

NativeSource native_source(std::string_view written_uri, std::string_view tool_version) {
    NativeSource source;
    source.tool_version = std::string(tool_version);
    const auto [row, behind] = split_transport(written_uri);
    if (row == nullptr) {
        // A bare reference or enroot's REGISTRY#IMAGE: both are docker's.
        source.bootstrap = "docker";
        source.from = std::string(written_uri);
        std::replace(source.from.begin(), source.from.end(), '#', '/');
        return source;
    }
    source.bootstrap = std::string(row->name);
    source.from = std::string(behind.starts_with("//") ? behind.substr(2) : behind);
    return source;
}

std::string deffile_text(const NativeSource& source) {
    return fmt::format("bootstrap: {}\nfrom: {}\n\n", one_line(source.bootstrap),
                       one_line(source.from));
}

std::map<std::string, std::string> native_labels(const NativeSource& source,
                                                 const ImageConfig& config) {
    auto labels = config.labels;
    const std::string schema = "org.label-schema.";
    labels[schema + "schema-version"] = "1.0";
    if (const auto created = config.created_seconds()) {
        labels[schema + "build-date"] = build_date(*created);
    }
    if (!config.platform.architecture.empty()) {
        labels[schema + "build-arch"] = config.platform.architecture;
    }
    labels[schema + "usage.slipway.version"] = source.tool_version;
    labels[schema + "usage.singularity.deffile.bootstrap"] = source.bootstrap;
    labels[schema + "usage.singularity.deffile.from"] = source.from;
    return labels;
}

std::string docker_environment_text(const ImageConfig& config) {
    std::string out = "#!/bin/sh\n";
    for (const auto& line : config.env) {
        const auto equals = line.find('=');
        const auto name = line.substr(0, equals);
        if (!base::is_identifier(name)) {
            continue;
        }
        const auto value =
            equals == std::string::npos ? std::string() : sh_escaped(line.substr(equals + 1));
        if (equals == std::string::npos) {
            out += fmt::format("export {0}=\"${{{0}:-}}\"\n", name);
        } else if (name == "PATH") {
            out += fmt::format("export PATH=\"{}\"\n", value);
        } else {
            out += fmt::format("export {0}=\"${{{0}:-\"{1}\"}}\"\n", name, value);
        }
    }
    return out;
}

std::string runscript_text(const ImageConfig& config) {
    const bool has_entrypoint = !config.entrypoint.empty();
    const bool has_cmd = !config.cmd.empty();
    if (!has_entrypoint && !has_cmd) {
        return std::string(scripts::runscript_without_program);
    }
    std::string out(scripts::runscript_head);
    // Exact words first: the branch for callers who want what they wrote.
    out += "if [ -n \"${SINGULARITY_NO_EVAL:-}\" ] || [ -n \"${APPTAINER_NO_EVAL:-}\" ]; then\n";
    if (has_cmd) {
        out += fmt::format("    if [ $# -eq 0 ]; then\n        set -- {}\n    fi\n",
                           exact_words(config.cmd));
    }
    if (has_entrypoint) {
        out += fmt::format("    set -- {} \"$@\"\n", exact_words(config.entrypoint));
    }
    out += "    exec \"$@\"\nfi\n\n";
    out += fmt::format("OCI_ENTRYPOINT={}\nOCI_CMD={}\n",
                       base::shell_quote(evaluated_words(config.entrypoint)),
                       base::shell_quote(evaluated_words(config.cmd)));
    out += scripts::runscript_tail;
    return out;
}

std::string inspect_metadata_text(const NativeSource& source, const ImageConfig& config) {
    Metadata metadata;
    metadata.labels = native_labels(source, config);
    metadata.deffile = without_newlines(deffile_text(source));
    metadata.runscript = without_newlines(runscript_text(config));
    metadata.startscript = without_newlines(std::string(scripts::only_shell));
    metadata.environment["/" + std::string(environment_path)] =
        without_newlines(docker_environment_text(config));
    metadata.environment["/" + std::string(hook_path)] =
        without_newlines(std::string(scripts::environment_hook));
    return metadata_json_compact(metadata, MetadataParts::all());
}

std::vector<NativeEntry> native_tree(const NativeSource& source, const ImageConfig& config) {
    std::vector<NativeEntry> tree;
    add_directories(tree);
    const auto script = [&](std::string_view path, std::string content) {
        tree.push_back(
            {std::string(path), EntryKind::file, EntryRule::replace, 0755, std::move(content)});
    };
    const auto data = [&](std::string_view path, std::string content, EntryRule rule) {
        tree.push_back({std::string(path), EntryKind::file, rule, 0644, std::move(content)});
    };
    for (const auto& [name, body] : scripts::actions) {
        script(fmt::format(".singularity.d/actions/{}", name),
               std::string(scripts::action_head) + std::string(body));
    }
    script(".singularity.d/env/01-base.sh", std::string(scripts::environment_base));
    script(environment_path, docker_environment_text(config));
    script(hook_path, std::string(scripts::environment_hook));
    script(".singularity.d/env/95-apps.sh", std::string(scripts::environment_apps));
    script(".singularity.d/env/99-base.sh", std::string(scripts::environment_libraries));
    script(".singularity.d/env/99-runtimevars.sh", std::string(scripts::environment_runtime));
    script(".singularity.d/runscript", runscript_text(config));
    script(".singularity.d/startscript", std::string(scripts::only_shell));
    data(".singularity.d/labels.json", labels_text(native_labels(source, config)),
         EntryRule::replace);
    data(native_deffile_path, deffile_text(source), EntryRule::replace);
    data("etc/hosts", {}, EntryRule::truncate);
    data("etc/resolv.conf", {}, EntryRule::truncate);
    add_symlinks(tree);
    return tree;
}

} // namespace slipway::image
