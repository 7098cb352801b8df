// SPDX-License-Identifier: Apache-2.0
#include "prefetch/credentials/finder.hpp"

#include "base/credential_variables.hpp"
#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/log.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "prefetch/credentials/docker_config.hpp"

#include <array>

#include <fcntl.h>
#include <sys/stat.h>

namespace slipway::prefetch::credentials {
namespace {

using base::Code;
using base::fail;

constexpr std::size_t max_file = 1 << 20;

/// The name by which helpers know a registry; Docker Hub keeps its historic one.
std::string helper_server(const std::string& key) {
    return key == "docker.io" ? "https://index.docker.io/v1/" : key;
}

/// Content of a file that may be absent (nothing) but not unreadable.
base::Result<std::optional<std::string>> read_if_there(const std::string& path) {
    auto fd = base::open_file(path, O_RDONLY);
    if (!fd && (fd.error().sys_errno == ENOENT || fd.error().sys_errno == ENOTDIR)) {
        return std::optional<std::string>();
    }
    if (!fd) {
        return base::Unexpected(std::move(fd).error());
    }
    struct stat st {};
    if (::fstat(fd->get(), &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0077) != 0) {
        base::log(base::LogLevel::warning,
                  fmt::format("{} holds passwords and can be read by others; run chmod 600 on it",
                              base::in_quotes(path)));
    }
    TRY_ASSIGN(auto content, base::read_to_end(fd->get(), max_file));
    return std::optional<std::string>(std::move(content));
}

base::Unexpected unusable(const std::string& path, base::Error&& error) {
    error.code = Code::credentials_invalid;
    return base::Unexpected(
        std::move(error).context("cannot use the credentials in " + base::in_quotes(path)));
}

template <typename Map> const typename Map::mapped_type* first_of(const Map& map,
                                                                 const std::vector<std::string>& keys) {
    for (const auto& key : keys) {
        if (const auto found = map.find(key); found != map.end()) {
            return &found->second;
        }
    }
    return nullptr;
}

} // namespace

CredentialFinder::CredentialFinder(Options options, const config::Config& config)
    : options_(std::move(options)), config_(config) {}

base::Result<std::optional<Credential>> CredentialFinder::find(std::string_view host,
                                                               std::string_view repository,
                                                               Role role) {
    std::optional<Credential> found;
    if (!options_.site_only) {
        if (role == Role::registry) {
            if (options_.given) {
                return options_.given;
            }
            TRY_ASSIGN(found, from_environment());
        }
        if (!found) {
            TRY_ASSIGN(found, from_files(credential_keys(host, repository)));
        }
        if (!found) {
            TRY_ASSIGN(found, from_enroot(credential_key(host)));
        }
    }
    if (!found) {
        TRY_ASSIGN(found, from_site(host));
    }
    return found;
}

base::Result<std::optional<Credential>> CredentialFinder::from_environment() const {
    for (const auto& pair : base::credential_variables) {
        auto name = options_.environment(std::string(pair.username));
        auto password = options_.environment(std::string(pair.password));
        const base::WipeAtEnd wiping(password);
        if (!name.empty() && !password.empty()) {
            return std::optional<Credential>(
                Credential{std::move(name), base::Secret(password), {}, CredentialOrigin::environment});
        }
        if (name.empty() != password.empty() && pair.must_be_complete) {
            return fail(Code::credentials_invalid,
                        fmt::format("only one of {} and {} is set", pair.username, pair.password),
                        "set both or none");
        }
    }
    return std::optional<Credential>();
}

std::vector<std::string> CredentialFinder::auth_files() const {
    std::vector<std::string> files;
    const auto add = [&](const std::string& directory, std::string_view name) {
        if (!directory.empty()) {
            files.push_back(base::join_path(directory, name));
        }
    };
    if (auto file = options_.environment("REGISTRY_AUTH_FILE"); !file.empty()) {
        files.push_back(std::move(file));
    }
    add(options_.environment("DOCKER_CONFIG"), "config.json");
    add(options_.home, ".slipway/docker-config.json");
    add(options_.home, ".singularity/docker-config.json");
    add(options_.home, ".apptainer/docker-config.json");
    add(options_.home, ".docker/config.json");
    add(options_.environment("XDG_RUNTIME_DIR"), "containers/auth.json");
    return files;
}

base::Result<std::optional<Credential>>
CredentialFinder::from_files(const std::vector<std::string>& keys) const {
    if (!options_.auth_file.empty()) {
        return from_file(options_.auth_file, keys, true);
    }
    for (const auto& path : auth_files()) {
        TRY_ASSIGN(auto found, from_file(path, keys, false));
        if (found) {
            return found;
        }
    }
    return std::optional<Credential>();
}

base::Result<std::optional<Credential>>
CredentialFinder::from_file(const std::string& path, const std::vector<std::string>& keys,
                            bool must_exist) const {
    auto content = read_if_there(path);
    if (!content) {
        return unusable(path, std::move(content).error());
    }
    if (!*content) {
        if (must_exist) {
            return fail(Code::credentials_invalid,
                        fmt::format("the auth file {} does not exist", base::in_quotes(path)),
                        "check the path");
        }
        return std::optional<Credential>();
    }
    const base::WipeAtEnd wiping(**content);
    auto config = parse_docker_config(**content);
    if (!config) {
        return unusable(path, std::move(config).error());
    }
    if (const auto* helper = first_of(config->helpers, keys)) {
        return ask_helper(*helper, helper_server(keys.back()), options_.environment);
    }
    if (!config->store.empty()) {
        TRY_ASSIGN(auto stored,
                   ask_helper(config->store, helper_server(keys.back()), options_.environment));
        if (stored) {
            return stored;
        }
    }
    if (const auto* credential = first_of(config->auths, keys)) {
        return std::optional<Credential>(*credential);
    }
    return std::optional<Credential>();
}

base::Result<std::optional<Credential>> CredentialFinder::from_enroot(std::string_view host) const {
    auto directory = options_.environment("ENROOT_CONFIG_PATH");
    if (directory.empty() && !options_.home.empty()) {
        directory = base::join_path(options_.home, ".config/enroot");
    }
    if (directory.empty()) {
        return std::optional<Credential>();
    }
    const auto path = base::join_path(directory, ".credentials");
    auto content = read_if_there(path);
    if (!content) {
        return unusable(path, std::move(content).error());
    }
    if (!*content) {
        return std::optional<Credential>();
    }
    const base::WipeAtEnd wiping(**content);
    const auto netrc = parse_netrc(**content);
    // enroot looks for the host of the token service, not for the registry's.
    std::vector<std::string> names{std::string(host)};
    if (host == "docker.io") {
        names.emplace_back("auth.docker.io");
    } else if (host == "nvcr.io") {
        names.emplace_back("authn.nvidia.com");
    }
    if (const auto* credential = first_of(netrc.machines, names)) {
        return std::optional<Credential>(*credential);
    }
    if (netrc.skipped > 0) {
        base::log(base::LogLevel::warning,
                  fmt::format("passwords in {} that need a shell are not used",
                              base::in_quotes(path)));
    }
    return std::optional<Credential>();
}

base::Result<std::optional<Credential>> CredentialFinder::from_site(std::string_view host) const {
    const auto& registry = config::registry(config_, host);
    if (registry.username.empty() || registry.password_file.empty()) {
        return std::optional<Credential>();
    }
    auto content = base::read_file(registry.password_file, 64 * 1024);
    if (!content && content.error().sys_errno == EACCES && !options_.site_only) {
        return std::optional<Credential>(); // the service may read it, this user may not
    }
    if (!content) {
        return unusable(registry.password_file, std::move(content).error());
    }
    const base::WipeAtEnd wiping(*content);
    const auto line = std::string_view(*content).substr(0, content->find_first_of("\r\n"));
    if (line.empty()) {
        return fail(Code::credentials_invalid,
                    fmt::format("the password file {} is empty",
                                base::in_quotes(registry.password_file)),
                    "write the password or token into its first line");
    }
    return std::optional<Credential>(
        Credential{registry.username, base::Secret(line), {}, CredentialOrigin::site});
}

} // namespace slipway::prefetch::credentials
