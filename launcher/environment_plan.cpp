// SPDX-License-Identifier: Apache-2.0
#include "base/credential_variables.hpp"
#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "base/words.hpp"
#include "launcher/environment.hpp"

#include <algorithm>
#include <array>

namespace slipway::launcher {
namespace {

constexpr std::array<std::string_view, 3> user_prefixes{"SINGULARITYENV_", "APPTAINERENV_",
                                                        "SLIPWAYENV_"};
/// Settings of the tools themselves: meant for the command on the host.
constexpr std::array<std::string_view, 2> tool_prefixes{"SINGULARITY_", "APPTAINER_"};
/// What a clean environment still lets in.
constexpr std::array<std::string_view, 11> kept_when_clean{
    "TERM",       "http_proxy",  "https_proxy", "no_proxy",  "all_proxy", "ftp_proxy",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",    "ALL_PROXY", "FTP_PROXY"};
constexpr std::array<std::string_view, 6> scheduler_prefixes{"SLURM_", "SLURMD_", "PMI_",
                                                             "PMI2_",  "PMIX_",   "OMPI_"};
constexpr std::array<std::string_view, 6> scheduler_names{
    "PMI_FD",           "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL",
    "ZE_AFFINITY_MASK", "HIP_VISIBLE_DEVICES"};
/// Names that a shell or the runtime owns; a user's value is refused.
constexpr std::array<std::string_view, 9> refused_names{"HOME",
                                                        "SINGULARITY_SHELL",
                                                        "SINGULARITY_APPNAME",
                                                        "APPTAINER_SHELL",
                                                        "APPTAINER_APPNAME",
                                                        "UID",
                                                        "EUID",
                                                        "GID",
                                                        "PPID"};

template <typename List>
bool contains(const List& list, std::string_view name) {
    return std::find(list.begin(), list.end(), name) != list.end();
}

template <typename List>
bool starts_with_any(const List& prefixes, std::string_view name) {
    return std::any_of(prefixes.begin(), prefixes.end(),
                       [&](std::string_view prefix) { return name.starts_with(prefix); });
}

bool is_credential(std::string_view name) {
    const auto& all = base::credential_variables;
    return std::any_of(all.begin(), all.end(), [&](const auto& pair) {
        return name == pair.username || name == pair.password;
    });
}

/// Variables that the user sets, and complaints about those that may not be set.
struct UserVariables {
    std::vector<std::pair<std::string, std::string>>& variables;
    std::vector<std::string>& warnings;
};

void add_user_variable(const UserVariables& out, const std::string& name, const std::string& value,
                       std::string_view origin) {
    if (contains(refused_names, name)) {
        out.warnings.push_back(fmt::format(
            "{} is ignored: the container sets {} itself", origin, name));
        return;
    }
    if (!base::is_identifier(name)) {
        out.warnings.push_back(
            fmt::format("{} is not a name of an environment variable", base::in_quotes(origin)));
        return;
    }
    static constexpr std::array<std::pair<std::string_view, const char*>, 3> path_hooks{{
        {"PATH", "SING_USER_DEFINED_PATH"},
        {"PREPEND_PATH", "SING_USER_DEFINED_PREPEND_PATH"},
        {"APPEND_PATH", "SING_USER_DEFINED_APPEND_PATH"},
    }};
    for (const auto& [short_name, hook] : path_hooks) {
        if (name == short_name) {
            out.variables.emplace_back(hook, value);
            return;
        }
    }
    out.variables.emplace_back(name, value);
}

/// SINGULARITYENV_X and its twins; the one named last in user_prefixes wins.
void add_prefixed(const UserVariables& out, const join::Request& request) {
    std::map<std::string, std::pair<std::string, std::string>> found; // name -> {value, full name}
    for (const auto prefix : user_prefixes) {
        for (const auto& item : request.environment) {
            const auto equals = item.find('=');
            if (equals == std::string::npos || !item.starts_with(prefix) ||
                equals <= prefix.size()) {
                continue;
            }
            const auto full = item.substr(0, equals);
            const auto name = full.substr(prefix.size());
            const auto value = item.substr(equals + 1);
            const auto known = found.find(name);
            if (known != found.end() && known->second.first != value) {
                out.warnings.push_back(
                    fmt::format("{} and {} have different values, using the latter",
                                known->second.second, full));
            }
            found[name] = {value, full};
        }
    }
    for (const auto& [name, what] : found) {
        add_user_variable(out, name, what.first, what.second);
    }
}

void set(Variables& variables, std::string_view name, std::string value) {
    variables.insert_or_assign(std::string(name), Variable{std::move(value), true});
}

/// What the host's variables give; the host's PATH comes back.
std::string add_host_variables(EnvironmentPlan& out, const join::Request& request, bool clean) {
    std::string path;
    for (const auto& item : request.environment) {
        const auto equals = item.find('=');
        if (equals == std::string::npos || equals == 0) {
            continue;
        }
        const auto name = item.substr(0, equals);
        if (name == "PATH") {
            path = item.substr(equals + 1);
        }
        if (starts_with_any(user_prefixes, name) || starts_with_any(tool_prefixes, name) ||
            (is_credential(name) && !contains(request.keep_environment, name)) || name == "PATH" ||
            name == "LD_LIBRARY_PATH" || name == "HOME") {
            continue;
        }
        if (!clean || contains(kept_when_clean, name) || contains(request.keep_environment, name)) {
            out.host.emplace(name, item.substr(equals + 1));
        }
    }
    if (clean) {
        out.host["LANG"] = "C";
    }
    return path;
}

void add_names(Variables& start, const join::Request& request, const ContainerNames& names) {
    set(start, "HOME", names.home);
    set(start, "SLIPWAY_CONTAINER", names.reference.empty() ? names.image_path : names.reference);
    const std::string base(base::base_name(names.image_path));
    const auto binds = base::joined(names.binds, ",");
    for (const char* tool : {"SINGULARITY", "APPTAINER"}) {
        set(start, fmt::format("{}_CONTAINER", tool), names.image_path);
        set(start, fmt::format("{}_NAME", tool), base);
        set(start, fmt::format("{}_BIND", tool), binds);
        set(start, fmt::format("{}_ENVIRONMENT", tool), "/.singularity.d/env/91-environment.sh");
        if (!request.shell_evaluation) {
            set(start, fmt::format("{}_NO_EVAL", tool), "1");
        }
    }
    for (const auto& [name, value] : {std::pair{"UID", fmt::format("{}", names.uid)},
                                      {"EUID", fmt::format("{}", names.uid)},
                                      {"GID", fmt::format("{}", names.gid)}}) {
        start.insert_or_assign(name, Variable{value, false});
    }
}

} // namespace

bool is_scheduler_variable(std::string_view name) noexcept {
    return starts_with_any(scheduler_prefixes, name) || contains(scheduler_names, name);
}

EnvironmentPlan plan_environment(const join::Request& request,
                                 const std::map<std::string, std::string>& site,
                                 const ContainerNames& names, std::vector<std::string>& warnings) {
    EnvironmentPlan out;
    out.site = site;
    const bool clean =
        request.clean_environment || request.containment == join::Containment::contain_all;
    const auto host_path = add_host_variables(out, request, clean);
    const UserVariables user{out.user, warnings};
    add_prefixed(user, request);
    for (const auto& [name, value] : request.set_environment) {
        add_user_variable(user, name, value, fmt::format("{} (of --env or --env-file)", name));
    }
    add_names(out.start, request, names);
    if (!clean && !host_path.empty()) {
        set(out.start, "USER_PATH", fmt::format("{}:{}", host_path, default_path));
    }
    return out;
}

} // namespace slipway::launcher
