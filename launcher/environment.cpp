// SPDX-License-Identifier: Apache-2.0
#include "launcher/environment.hpp"

#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "base/words.hpp"
#include "launcher/devices/edits.hpp"

#include <algorithm>
#include <array>
#include <set>

namespace slipway::launcher {
namespace {

using base::Result;

constexpr const char* script_directory = "/.singularity.d/env";
using devices::library_directory;
constexpr std::size_t max_scripts = 256;
constexpr std::size_t max_script_bytes = 1U << 20U;
/// Left behind by the shell that ran the scripts, not by the scripts.
constexpr std::array<std::string_view, 4> shell_leftovers{"_", "SHLVL", "PWD", "OLDPWD"};
constexpr std::array<std::string_view, 3> path_hooks{
    "SING_USER_DEFINED_PREPEND_PATH", "SING_USER_DEFINED_APPEND_PATH", "SING_USER_DEFINED_PATH"};

struct ScriptFile {
    std::string path;
    std::string text;
    bool readable = false;
};

/// The image's scripts in the order in which they count. An image without the directory may have
/// the file that images of the first versions had.
std::vector<ScriptFile> find_scripts(const ImageView& image, std::vector<std::string>& warnings) {
    std::vector<ScriptFile> scripts;
    std::vector<std::string> paths;
    if (auto names = image.list(script_directory, max_scripts)) {
        for (const auto& [name, entry] : *names) {
            auto path = fmt::format("{}/{}", script_directory, name);
            if (!name.ends_with(".sh") || name.front() == '.') {
                continue;
            }
            const auto kind = entry.kind == EntryKind::symlink ? image.kind(path) : entry.kind;
            if (kind == EntryKind::file) {
                paths.push_back(std::move(path));
            } else if (kind == EntryKind::missing) {
                warnings.push_back(fmt::format("the image's environment script {} is a symlink "
                                               "that leads nowhere (left out)",
                                               base::in_quotes(path)));
            }
        }
        std::sort(paths.begin(), paths.end());
    } else if (image.kind("/environment") == EntryKind::file) {
        paths.emplace_back("/environment");
    }
    for (auto& path : paths) {
        auto text = image.read(path, max_script_bytes);
        const bool readable = text.has_value();
        scripts.push_back({std::move(path), std::move(text).value_or(""), readable});
    }
    return scripts;
}

bool has_native_metadata(const ImageView& image) {
    return image.kind("/.singularity.d") == EntryKind::directory;
}

void set(Variables& variables, std::string_view name, std::string value) {
    variables.insert_or_assign(std::string(name), Variable{std::move(value), true});
}

std::string get(const Variables& variables, std::string_view name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::string() : found->second.value;
}

/// The default directories that a PATH lacks, appended.
std::string with_default_directories(std::string path) {
    for (const auto directory : base::split(default_path, ':')) {
        const auto parts = base::split(path, ':');
        if (std::find(parts.begin(), parts.end(), directory) == parts.end()) {
            path.append(path.empty() ? "" : ":").append(directory);
        }
    }
    return path;
}

void apply_path_hooks(Variables& variables) {
    auto path = get(variables, "PATH");
    if (const auto prepend = get(variables, path_hooks[0]); !prepend.empty()) {
        path = prepend + ":" + path;
    }
    if (const auto append = get(variables, path_hooks[1]); !append.empty()) {
        path += ":" + append;
    }
    if (const auto whole = get(variables, path_hooks[2]); !whole.empty()) {
        path = whole;
    }
    set(variables, "PATH", std::move(path));
    for (const auto hook : path_hooks) {
        variables.erase(std::string(hook));
    }
}

bool is_docker_script(std::string_view path) {
    return base::base_name(path).starts_with("10-docker");
}
bool is_named(std::string_view path, std::string_view name) {
    return base::base_name(path) == name;
}

/// LD_LIBRARY_PATH of the user does not take the runtime's own libraries away.
std::string user_value(const std::string& name, const std::string& value) {
    return name == "LD_LIBRARY_PATH" && !value.empty()
               ? fmt::format("{}:{}", value, library_directory)
               : value;
}

class Evaluation {
  public:
    explicit Evaluation(const EnvironmentInput& input)
        : in_(input), plan_(input.plan), scripts_(find_scripts(in_.image, out_.warnings)) {}

    Result<ContainerEnvironment> run();

  private:
    bool evaluate_here(Variables& variables) const;
    bool apply_user_variables(Variables& variables) const;
    [[nodiscard]] std::string driver(bool path_known) const;
    [[nodiscard]] std::string user_lines() const;
    Result<Variables> evaluate_in_shell(const Variables& before);
    void read_plain_environment(Variables& variables) const;
    [[nodiscard]] bool has_shell() const;
    void add_library_directories(std::map<std::string, std::string>& variables) const;
    ContainerEnvironment compare(const Variables& inside);

    const EnvironmentInput& in_;
    const EnvironmentPlan& plan_;
    ContainerEnvironment out_;
    std::vector<ScriptFile> scripts_;
};

bool Evaluation::apply_user_variables(Variables& variables) const {
    for (const auto& [name, raw] : plan_.user) {
        auto value = user_value(name, raw);
        if (in_.request.shell_evaluation) {
            std::string expanded;
            if (!expand_double_quoted(value, variables, expanded)) {
                return false;
            }
            value = std::move(expanded);
        }
        set(variables, name, std::move(value));
    }
    return true;
}

/// /etc/environment of images that carry their variables there (enroot's imports do).
void Evaluation::read_plain_environment(Variables& variables) const {
    const auto text = in_.image.read("/etc/environment", max_script_bytes);
    if (!text) {
        return;
    }
    for (auto line : base::split(*text, '\n')) {
        line = base::trim(line);
        if (line.starts_with("export ")) {
            line = base::trim(line.substr(7));
        }
        const auto equals = line.find('=');
        if (equals == std::string_view::npos || !base::is_identifier(line.substr(0, equals))) {
            continue;
        }
        auto value = line.substr(equals + 1);
        if (value.size() >= 2 && value.front() == value.back() &&
            (value.front() == '"' || value.front() == '\'')) {
            value = value.substr(1, value.size() - 2);
        }
        set(variables, line.substr(0, equals), std::string(value));
    }
}

/// Everything without a shell; false when some script or value is beyond that.
bool Evaluation::evaluate_here(Variables& variables) const {
    const auto file_test = [this](char test, const std::string& path) {
        const auto kind = in_.image.kind(base::clean_path(path));
        if (kind == EntryKind::missing) {
            return false;
        }
        return test == 'e' || (test == 'd') == (kind == EntryKind::directory);
    };
    bool user_done = false;
    for (const auto& script : scripts_) {
        if (is_named(script.path, "90-environment.sh") &&
            variables.find("PATH") == variables.end()) {
            set(variables, "PATH", std::string(default_path));
        }
        if (!script.readable || !evaluate_script(script.text, variables, file_test)) {
            return false;
        }
        if (is_docker_script(script.path)) {
            set(variables, "PATH", with_default_directories(get(variables, "PATH")));
        }
        if (is_named(script.path, "99-base.sh")) {
            if (!apply_user_variables(variables)) {
                return false;
            }
            user_done = true;
        }
    }
    if (!user_done && !apply_user_variables(variables)) {
        return false;
    }
    if (get(variables, "PATH").empty()) {
        set(variables, "PATH", std::string(default_path));
    }
    apply_path_hooks(variables);
    return true;
}

/// `export K="value"`: the value is shell text by contract, only a double quote in it would end the
/// word.
std::string Evaluation::user_lines() const {
    std::string lines;
    for (const auto& [name, raw] : plan_.user) {
        const auto value = user_value(name, raw);
        if (!in_.request.shell_evaluation) {
            lines += fmt::format("export {}={}\n", name, base::shell_quote(value));
            continue;
        }
        std::string quoted;
        for (std::size_t i = 0; i < value.size(); ++i) {
            if (value[i] == '\\' && i + 1 < value.size()) {
                quoted += value[i++];
            } else if (value[i] == '"' || value[i] == '\\') {
                quoted += '\\';
            }
            quoted += value[i];
        }
        lines += fmt::format("export {}=\"{}\"\n", name, quoted);
    }
    return lines;
}

std::string Evaluation::driver(bool path_known) const {
    std::string text =
        "slipway_defaults() {\n"
        "for slipway_d in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin; do\n"
        "case \":${PATH:-}:\" in\n"
        "*\":$slipway_d:\"*) ;;\n"
        "*) PATH=\"${PATH:+$PATH:}$slipway_d\" ;;\n"
        "esac\ndone\nunset slipway_d\nexport PATH\n}\n";
    if (!path_known) {
        text += "unset PATH\n"; // some shells have one of their own
    }
    const auto default_if_unset =
        fmt::format("if [ -z \"${{PATH:-}}\" ]; then PATH={}; fi\nexport PATH\n", default_path);
    // bash has some of them and lets nobody assign to them; dash has none.
    for (const char* name : {"UID", "EUID", "GID"}) {
        text += fmt::format(": \"${{{}:={}}}\"\n", name, get(plan_.start, name));
    }
    bool user_done = false;
    for (const auto& script : scripts_) {
        if (is_named(script.path, "90-environment.sh")) {
            text += default_if_unset;
        }
        text += fmt::format(". {}\n", base::shell_quote(script.path));
        if (is_docker_script(script.path)) {
            text += "slipway_defaults\n";
        }
        if (is_named(script.path, "99-base.sh")) {
            text += user_lines();
            user_done = true;
        }
    }
    if (!user_done) {
        text += user_lines();
    }
    return text + default_if_unset;
}

bool Evaluation::has_shell() const {
    return in_.image.kind("/bin/sh") != EntryKind::missing;
}

Result<Variables> Evaluation::evaluate_in_shell(const Variables& before) {
    std::vector<std::string> environment;
    for (const auto& [name, variable] : before) {
        if (variable.exported) {
            environment.push_back(fmt::format("{}={}", name, variable.value));
        }
    }
    TRY_ASSIGN(const auto exported, in_.run_shell(driver(before.contains("PATH")), environment));
    Variables variables;
    for (const auto& [name, value] : exported) {
        if (std::find(shell_leftovers.begin(), shell_leftovers.end(), name) ==
            shell_leftovers.end()) {
            set(variables, name, value);
        }
    }
    apply_path_hooks(variables);
    return variables;
}

/// Images with scripts have the directory there already, as long as these are the usual ones. A user
/// who wants no such variable gets none.
void Evaluation::add_library_directories(std::map<std::string, std::string>& variables) const {
    constexpr const char* name = "LD_LIBRARY_PATH";
    const bool removed = !variables.contains(name) &&
                         std::any_of(plan_.user.begin(), plan_.user.end(),
                                     [&](const auto& variable) { return variable.first == name; });
    for (const auto& directory : plan_.library_directories) {
        if (removed) {
            continue;
        }
        auto& path = variables[name];
        const auto parts = base::split(path, ':');
        if (std::find(parts.begin(), parts.end(), directory) == parts.end()) {
            path.append(path.empty() ? "" : ":").append(directory);
        }
    }
}

/// What has to change in the caller's environment so that it becomes the container's.
ContainerEnvironment Evaluation::compare(const Variables& inside) {
    std::map<std::string, std::string> final;
    for (const auto& [name, variable] : inside) {
        if (variable.exported) {
            final[name] = variable.value;
        }
    }
    std::set<std::string_view> by_user;
    for (const auto& [name, value] : plan_.user) {
        by_user.insert(name);
    }
    for (const auto& [name, value] : plan_.host) {
        const bool host_wins =
            (is_scheduler_variable(name) && !by_user.contains(name)) ||
            std::find(in_.request.keep_environment.begin(), in_.request.keep_environment.end(),
                      name) != in_.request.keep_environment.end();
        if (host_wins) {
            final[name] = value;
        } else {
            final.emplace(name, value);
        }
    }
    for (const auto& [name, value] : plan_.site) {
        final.emplace(name, value);
    }
    // An empty value from the user means that the variable is not there (reference 5.2, step 4).
    for (const auto& [name, value] : plan_.user) {
        if (const auto found = final.find(name); found != final.end() && found->second.empty()) {
            final.erase(found);
        }
    }
    std::map<std::string, std::string> host;
    for (const auto& item : in_.request.environment) {
        const auto equals = item.find('=');
        if (equals != std::string::npos && equals != 0) {
            host.emplace(item.substr(0, equals), item.substr(equals + 1));
        }
    }
    for (const auto& keep : in_.request.keep_environment) {
        if (const auto value = host.find(keep); value != host.end()) {
            final[keep] = value->second;
        }
    }
    add_library_directories(final);
    for (const auto& [name, value] : host) {
        if (!final.contains(name)) {
            out_.changes.push_back({name, std::nullopt});
        }
    }
    for (const auto& [name, value] : final) {
        const auto before = host.find(name);
        if (before == host.end() || before->second != value) {
            out_.changes.push_back({name, value});
        }
    }
    return std::move(out_);
}

Result<ContainerEnvironment> Evaluation::run() {
    Variables variables = plan_.start;
    variables.insert_or_assign("PWD", Variable{in_.cwd, false});
    if (scripts_.empty() && !has_native_metadata(in_.image)) {
        read_plain_environment(variables);
    }
    const Variables before = variables;
    if (evaluate_here(variables)) {
        return compare(variables);
    }
    if (!has_shell()) {
        out_.warnings.emplace_back("the image has environment scripts but no /bin/sh to run them "
                                   "with: its variables may be missing");
        scripts_.erase(std::remove_if(scripts_.begin(), scripts_.end(),
                                      [&](const ScriptFile& script) {
                                          Variables probe = before;
                                          return !evaluate_script(
                                              script.text, probe,
                                              [](char, const std::string&) { return false; });
                                      }),
                       scripts_.end());
        variables = before;
        if (!evaluate_here(variables)) {
            return base::fail(
                base::Code::launcher_failed,
                "an environment value needs a shell to be evaluated and the image has "
                "none",
                "use --no-eval, or take $ and ` out of the value");
        }
        return compare(variables);
    }
    out_.used_shell = true;
    TRY_ASSIGN(variables, evaluate_in_shell(before));
    return compare(variables);
}

} // namespace

Result<ContainerEnvironment> make_environment(const EnvironmentInput& input) {
    return Evaluation(input).run();
}

} // namespace slipway::launcher
