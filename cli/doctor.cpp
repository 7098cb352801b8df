// SPDX-License-Identifier: Apache-2.0
// The verb doctor: the checks that talk to others, and how findings are shown.
#include "cli/doctor.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "cli/messages.hpp"
#include "cli/session.hpp"
#include "prefetch/client/service_client.hpp"
#include "prefetch/client/unix_http.hpp"
#include "prefetch/staging/api_version.hpp"

#include <cerrno>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

namespace slipway::cli {
namespace {

constexpr int answer_ms = 3000;

std::string_view verdict_name(Verdict verdict) {
    switch (verdict) {
    case Verdict::pass:
        return "pass";
    case Verdict::warn:
        return "warn";
    case Verdict::fail:
        return "fail";
    }
    return "fail";
}

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
    if (reply->api != prefetch::api_version) {
        const auto error = prefetch::version_mismatch(prefetch::api_version, reply->api);
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

std::string findings_text(const std::vector<Finding>& findings) {
    std::string text;
    for (const auto& finding : findings) {
        text += fmt::format("{:<4}  {:<15}  {}\n", verdict_name(finding.verdict), finding.check,
                            base::printable(finding.what));
        if (!finding.cure.empty()) {
            text += fmt::format("{:<4}  {:<15}  -> {}\n", "", "", base::printable(finding.cure));
        }
    }
    return text;
}

std::string findings_json(const std::vector<Finding>& findings) {
    std::string rows;
    for (const auto& finding : findings) {
        rows += fmt::format("{}{{\"verdict\":{},\"check\":{},\"what\":{},\"cure\":{}}}",
                            rows.empty() ? "" : ",\n ", json_string(verdict_name(finding.verdict)),
                            json_string(finding.check), json_string(finding.what),
                            json_string(finding.cure));
    }
    return "[" + rows + "]\n";
}

base::Result<int> run_doctor(Session& session) {
    if (!session.arguments.words().empty()) {
        return base::fail(base::Code::usage, "doctor takes no arguments", "slipway help doctor");
    }
    Surroundings around;
    around.slurm_conf = std::string(session.environment.get("SLURM_CONF").value_or(""));
    around.search_path = std::string(session.environment.get("PATH").value_or(""));
    std::vector<Finding> findings;
    const auto add = [&](std::vector<Finding> more) {
        findings.insert(findings.end(), std::make_move_iterator(more.begin()),
                        std::make_move_iterator(more.end()));
    };
    utsname system{};
    ::uname(&system);
    add({check_kernel(system.release), check_user_namespaces(around), check_fuse(around)});
    const auto config = config::load(config::Reader::user);
    if (config) {
        add({{Verdict::pass, "configuration",
              config->source.empty() ? "none: the built-in defaults are in force"
                                     : base::in_quotes(config->source) + " has no mistakes",
              {}}});
        add(check_store(*config));
        add({check_service(*config)});
        add(check_registries(*config));
    } else {
        add({{Verdict::fail, "configuration", config.error().message, config.error().hint}});
    }
    add(check_slurm(around));
    if (!print(session.arguments.flag("json") ? findings_json(findings) : findings_text(findings))) {
        return static_cast<int>(base::ExitCode::setup);
    }
    for (const auto& finding : findings) {
        if (finding.verdict == Verdict::fail) {
            return 1;
        }
    }
    return 0;
}

} // namespace slipway::cli
