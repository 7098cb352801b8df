// SPDX-License-Identifier: Apache-2.0
// The checks of `slipway doctor` that talk to others: the service and the registries.
#include "base/format.hpp"
#include "base/text.hpp"
#include "cli/doctor.hpp"
#include "prefetch/client/service_client.hpp"
#include "prefetch/client/unix_http.hpp"
#include "prefetch/stage/api_version.hpp"

#include <cerrno>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

namespace slipway::cli {
namespace {

constexpr int answer_ms = 3000;

struct AddressList {
    addrinfo* list = nullptr;
    ~AddressList() {
        if (list != nullptr) {
            ::freeaddrinfo(list);
        }
    }
};

/// Connects and hangs up again; what went wrong, "" when nothing did.
std::string try_connect(const std::string& host, const std::string& port) {
    AddressList addresses;
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    if (const int err = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &addresses.list); err != 0) {
        return ::gai_strerror(err);
    }
    std::string problem = "no address";
    for (const auto* at = addresses.list; at != nullptr; at = at->ai_next) {
        const base::UniqueFd fd(
            ::socket(at->ai_family, at->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        if (fd && ::connect(fd.get(), at->ai_addr, at->ai_addrlen) != 0 && errno != EINPROGRESS) {
            problem = base::errno_text(errno);
            continue;
        }
        pollfd waiting{fd.get(), POLLOUT, 0};
        int err = ETIMEDOUT;
        socklen_t size = sizeof err;
        if (::poll(&waiting, 1, answer_ms) == 1) {
            ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &err, &size);
        }
        if (err == 0) {
            return {};
        }
        problem = base::errno_text(err);
    }
    return problem;
}

std::pair<std::string, std::string> host_and_port(std::string_view text, bool insecure) {
    const auto colon = text.rfind(':');
    const auto bracket = text.rfind(']');
    if (colon == std::string_view::npos ||
        (bracket != std::string_view::npos && colon < bracket)) {
        return {std::string(text), insecure ? "80" : "443"};
    }
    return {std::string(text.substr(0, colon)), std::string(text.substr(colon + 1))};
}

} // namespace

Finding check_service(const config::Config& config) {
    constexpr std::string_view scheme = "unix:";
    const auto& address = config.service.listen.empty() ? std::string() : config.service.listen.front();
    if (!address.starts_with(scheme)) {
        return {Verdict::warn, "service", "the site has no service socket", "set service.listen"};
    }
    const auto path = address.substr(scheme.size());
    auto http = prefetch::client::UnixHttp::connect(path, answer_ms);
    if (!http) {
        // Without a shared store nothing needs the service.
        const bool optional = config.store.path.empty();
        return {optional ? Verdict::warn : Verdict::fail, "service", http.error().message,
                optional ? "users stage for themselves; start slipwayd if they should not"
                         : "systemctl start slipwayd; without it users stage for themselves"};
    }
    if (const auto trusted = prefetch::client::check_server(*http, path, config.store.path); !trusted) {
        return {Verdict::fail, "service", trusted.error().message, trusted.error().hint};
    }
    const auto reply = http->exchange("GET", "/healthz", {}, answer_ms);
    if (!reply || reply->status != 200) {
        return {Verdict::fail, "service", reply ? "it answers with an error" : reply.error().message,
                "journalctl -u slipwayd"};
    }
    if (reply->api != prefetch::stage::api_version) {
        const auto error = prefetch::stage::version_mismatch(prefetch::stage::api_version, reply->api);
        return {Verdict::fail, "service", error.message, error.hint};
    }
    return {Verdict::pass, "service", "answers on " + base::in_quotes(address), {}};
}

std::vector<Finding> check_registries(const config::Config& config) {
    std::vector<Finding> findings;
    const auto look = [&](const std::string& name, bool insecure) {
        const auto [host, port] = host_and_port(name, insecure);
        const auto problem = try_connect(host, port);
        findings.push_back({problem.empty() ? Verdict::pass : Verdict::warn, "registry",
                            base::in_quotes(name) + (problem.empty() ? " can be reached" : ": " + problem),
                            problem.empty() ? "" : "check name, firewall and proxy"});
    };
    for (const auto& [name, settings] : config.registries) {
        look(name == "docker.io" ? "registry-1.docker.io" : name, settings.insecure);
        for (const auto& mirror : settings.mirrors) {
            look(mirror, config::registry(config, mirror).insecure);
        }
    }
    return findings;
}

} // namespace slipway::cli
