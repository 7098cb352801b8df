// SPDX-License-Identifier: Apache-2.0
#include "prefetch/client/service_client.hpp"

#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "prefetch/client/unix_http.hpp"
#include "prefetch/stage/api_version.hpp"

#include <algorithm>
#include <cerrno>
#include <optional>

#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace slipway::prefetch::client {
namespace {

using nlohmann::json;
using base::Code;

constexpr int answer_timeout_ms = 30000;
constexpr int silence_timeout_ms = 300000; ///< between two events; the service never waits so long

std::string text_of(const json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::uint64_t number_of(const json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

base::Error error_of(const json& object) {
    return {base::code_from_name(text_of(object, "code")), 0, text_of(object, "message"),
            text_of(object, "hint")};
}

base::Unexpected strange() {
    return base::fail(Code::service_protocol, "the service's answer makes no sense",
                      "client and service must be of one version: update the older one");
}

stage::StagedImage image_of(const json& object) {
    stage::StagedImage image;
    image.path = text_of(object, "path");
    image.reference = text_of(object, "reference");
    image.digest = text_of(object, "digest");
    image.id = text_of(object, "image");
    image.size = number_of(object, "size");
    const auto present = object.find("was_present");
    image.was_present = present != object.end() && present->is_boolean() && present->get<bool>();
    return image;
}

/// What one line of events means: an end (image or error), or progress.
struct Ending {
    std::optional<stage::StagedImage> image;
    std::optional<base::Error> error;
    explicit operator bool() const { return image.has_value() || error.has_value(); }
};

std::optional<stage::Phase> phase_of(std::string_view name) {
    constexpr std::pair<std::string_view, stage::Phase> names[] = {
        {"queued", stage::Phase::queued},           {"waiting", stage::Phase::waiting},
        {"resolving", stage::Phase::resolving},     {"resolved", stage::Phase::resolved},
        {"downloading", stage::Phase::downloading}, {"converting", stage::Phase::converting},
        {"publishing", stage::Phase::publishing}};
    for (const auto& [known, phase] : names) {
        if (name == known) {
            return phase;
        }
    }
    return std::nullopt;
}

Ending read_event(std::string_view line, bool detach, const stage::StageSink& sink) {
    const json event = json::parse(line, nullptr, false);
    Ending ending;
    if (!event.is_object()) {
        ending.error = strange().value();
        return ending;
    }
    const auto name = text_of(event, "event");
    if (name == "ready" || (name == "resolved" && detach)) {
        ending.image = image_of(event);
        if (!ending.image->path.starts_with('/')) {
            return Ending{std::nullopt, strange().value()};
        }
        return ending;
    }
    if (name == "failed") {
        ending.error = error_of(event);
        return ending;
    }
    const auto phase = phase_of(name);
    if (!phase) {
        return ending; // news of a newer service
    }
    stage::StageProgress progress;
    progress.phase = *phase;
    progress.done = number_of(event, name == "queued" ? "position" : "bytes");
    progress.total = number_of(event, "total");
    progress.detail = text_of(event, "holder");
    sink(progress);
    return ending;
}

base::Result<Ending> one_attempt(const ServiceCall& call, const stage::StageSink& sink,
                                 const std::stop_token& stop) {
    TRY_ASSIGN(auto http, UnixHttp::connect(call.socket_path, answer_timeout_ms));
    TRY(check_server(http, call.socket_path, call.store_path));
    json body = {{"reference", call.request.reference}};
    if (!call.request.platform.empty()) {
        body["platform"] = call.request.platform;
    }
    if (call.request.pull != stage::PullPolicy::missing) {
        body["pull"] = call.request.pull == stage::PullPolicy::always ? "always" : "never";
    }
    if (call.detach) {
        body["detach"] = true;
    }
    const auto text = body.dump(-1, ' ', false, json::error_handler_t::replace);
    TRY_ASSIGN(const auto posted, http.exchange("POST", "/v1/images", text, answer_timeout_ms));
    if (posted.api != stage::api_version) {
        return posted.api.empty() ? strange()
                                  : base::Unexpected(stage::version_mismatch(stage::api_version, posted.api));
    }
    const json job = json::parse(posted.body, nullptr, false);
    if (!job.is_object()) {
        return strange();
    }
    if (posted.status >= 300) {
        auto error = error_of(job);
        if (error.message.empty()) {
            return strange();
        }
        return Ending{std::nullopt, std::move(error)};
    }
    const auto last = job.find("last_event");
    if (posted.status == 200 && last != job.end()) {
        auto answered = read_event(last->dump(), call.detach, sink);
        if (answered.image) {
            answered.image->was_present = true; // whoever it was made for: this caller found it
        }
        return answered;
    }
    Ending ending;
    TRY(http.exchange("GET", "/v1/images/" + text_of(job, "id") + "/events", {}, silence_timeout_ms,
                      [&](std::string_view line) {
                          ending = read_event(line, call.detach, sink);
                          return !ending && !stop.stop_requested();
                      }));
    return ending;
}

} // namespace

base::Result<void> check_server(const UnixHttp& http, const std::string& socket_path,
                                const std::string& store_path) {
    TRY_ASSIGN(const auto uid, http.server_uid());
    if (uid == 0 || uid == ::geteuid()) {
        return {};
    }
    struct stat st {};
    const std::string directory(base::dir_name(socket_path));
    if (::stat(directory.c_str(), &st) == 0 && st.st_uid == uid && (st.st_mode & 022) == 0) {
        return {};
    }
    if (!store_path.empty() && ::stat(store_path.c_str(), &st) == 0 && st.st_uid == uid) {
        return {};
    }
    return base::fail(Code::config_insecure,
                      fmt::format("uid {} listens on {}, and that is not the service: neither root "
                                  "nor the owner of the store",
                                  uid, base::in_quotes(socket_path)),
                      "tell your site: somebody may be posing as slipwayd");
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
