// SPDX-License-Identifier: Apache-2.0
#include "prefetch/client/service_client.hpp"

#include "base/format.hpp"
#include "base/json.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "base/trusted_path.hpp"
#include "prefetch/client/unix_http.hpp"
#include "prefetch/stage/api_version.hpp"
#include "prefetch/stage/event_json.hpp"

#include <algorithm>
#include <cerrno>
#include <optional>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace slipway::prefetch::client {
namespace {

using base::Code;

constexpr unsigned not_found = 404;
constexpr std::size_t max_answer = 1U << 20U;
constexpr int answer_timeout_ms = 30000;
constexpr int silence_timeout_ms = 300000; ///< between two events; the service never waits so long

base::Unexpected senseless() {
    return base::Unexpected(stage::senseless_answer());
}

/// How the exchange ended, if it did: the image or the service's error.
struct Ending {
    std::optional<stage::StagedImage> image;
    std::optional<base::Error> error;
    explicit operator bool() const { return image.has_value() || error.has_value(); }
};

/// `detach`: a resolved image is enough. Progress goes to the sink.
Ending take_event(const base::Result<std::optional<stage::Event>>& event, bool detach,
                  const stage::StageSink& sink) {
    if (!event) {
        return {std::nullopt, event.error()};
    }
    if (!*event) {
        return {};
    }
    if (const auto* image = std::get_if<stage::StagedImage>(&**event)) {
        return {*image, std::nullopt};
    }
    if (const auto* error = std::get_if<base::Error>(&**event)) {
        return {std::nullopt, *error};
    }
    const auto& progress = std::get<stage::StageProgress>(**event);
    if (detach && progress.image) {
        if (!progress.image->path.starts_with('/')) {
            return {std::nullopt, stage::senseless_answer()};
        }
        return {progress.image, std::nullopt};
    }
    sink(progress);
    return {};
}

std::string submit_body(const ServiceCall& call) {
    base::json::OrderedValue body{{"reference", call.request.reference}};
    if (!call.request.platform.empty()) {
        body["platform"] = call.request.platform;
    }
    if (call.request.pull != stage::PullPolicy::missing) {
        body["pull"] = stage::pull_policies.name(call.request.pull);
    }
    if (call.detach) {
        body["detach"] = true;
    }
    return base::json::compact(body);
}

base::Result<Ending> one_attempt(const ServiceCall& call, const stage::StageSink& sink,
                                 const std::stop_token& stop) {
    TRY_ASSIGN(auto http, UnixHttp::connect(call.socket_path, answer_timeout_ms));
    TRY(check_server(http, call.socket_path, call.store_path));
    const auto text = submit_body(call);
    TRY_ASSIGN(const auto posted, http.exchange("POST", "/v1/images", text, answer_timeout_ms));
    if (posted.api != stage::api_version) {
        return posted.api.empty() ? senseless()
                                  : base::Unexpected(stage::version_mismatch(stage::api_version, posted.api));
    }
    const auto job = base::json::parse_object(posted.body, max_answer, Code::service_protocol,
                                              "the service's answer");
    if (!job) {
        return senseless();
    }
    if (posted.status >= 300) {
        auto error = stage::read_error(*job);
        return error ? base::Result<Ending>(Ending{std::nullopt, std::move(*error)}) : senseless();
    }
    const auto* last = base::json::member(*job, "last_event");
    if (posted.status == 200 && last != nullptr && last->is_object()) {
        auto answered = take_event(stage::read_event(*last), call.detach, sink);
        if (answered.image) {
            answered.image->was_present = true; // whoever it was made for: this caller found it
        }
        return answered;
    }
    const auto id = base::json::Reader(*job).text("id");
    Ending ending;
    const auto on_line = [&](std::string_view line) {
        ending = take_event(stage::parse_event(line), call.detach, sink);
        return !ending && !stop.stop_requested();
    };
    TRY_ASSIGN(const auto streamed, http.exchange("GET", "/v1/images/" + id + "/events", {},
                                                  silence_timeout_ms, on_line));
    if (streamed.status == not_found) {
        return Ending{}; // the service has forgotten the work meanwhile: it is asked for again
    }
    return ending;
}

/// Whether a directory is that user's, and nobody else but root can have put it there.
bool owns(uid_t uid, const std::string& directory) {
    struct stat st {};
    const auto opened =
        base::open_trusted(directory, O_PATH | O_DIRECTORY, uid, Code::config_insecure);
    return opened && ::fstat(opened->get(), &st) == 0 && st.st_uid == uid;
}

} // namespace

base::Result<void> check_server(const UnixHttp& http, const std::string& socket_path,
                                const std::string& store_path) {
    TRY_ASSIGN(const auto uid, http.server_uid());
    if (uid == 0 || uid == ::geteuid() || owns(uid, std::string(base::dir_name(socket_path))) ||
        (!store_path.empty() && owns(uid, store_path))) {
        return {};
    }
    return base::fail(Code::config_insecure,
                      fmt::format("uid {} listens on {}, and that is not the service: neither root "
                                  "nor the owner of the store",
                                  uid, base::in_quotes(socket_path)),
                      "report it to your site: another program may be posing as slipwayd");
}

base::Result<stage::StagedImage> stage_through_service(const ServiceCall& call, const stage::StageSink& sink,
                                                const std::stop_token& stop) {
    bool reached = false;
    for (int waited_ms = 0;;) {
        const auto ending = one_attempt(call, sink, stop);
        if (stop.stop_requested()) {
            return base::fail(Code::interrupted, "interrupted");
        }
        if (ending && ending->image) {
            return *ending->image;
        }
        if (ending && ending->error) {
            return base::Unexpected(*ending->error);
        }
        if (!ending && ending.error().code != Code::service_unreachable) {
            return base::Unexpected(ending.error());
        }
        const int err = ending ? ECONNRESET : ending.error().sys_errno;
        reached = reached || err == ECONNRESET || err == EPIPE;
        const bool down = err == ECONNREFUSED || err == ENOENT || err == ECONNRESET || err == EPIPE;
        // A socket file that nobody answers on: perhaps it is being restarted right now.
        const int patience_s = reached ? call.reconnect_s : std::min(5, call.reconnect_s);
        if (!down || (!reached && err == ENOENT) || waited_ms >= patience_s * 1000) {
            return base::Unexpected(ending ? base::Error{Code::service_unreachable, ECONNRESET,
                                                         "the service went away", {}}
                                           : ending.error());
        }
        // Users see a restart of the service as a pause.
        constexpr int pause_ms = 500;
        sink({stage::Phase::waiting, 0, 0, "the service, which is restarting", {}});
        ::poll(nullptr, 0, pause_ms);
        waited_ms += pause_ms;
    }
}

} // namespace slipway::prefetch::client
