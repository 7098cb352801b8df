// SPDX-License-Identifier: Apache-2.0
#include "prefetch/service/api.hpp"

#include "base/format.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

#include <nlohmann/json.hpp>

namespace slipway::prefetch::service {
namespace {

using json = nlohmann::ordered_json;
using base::Code;

constexpr std::size_t max_reference = 1024;

std::string dump(const json& value) {
    return value.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

unsigned status_of(Code code) {
    switch (code) {
    case Code::usage:
    case Code::option_invalid:
    case Code::reference_invalid:
    case Code::service_protocol:
        return 400;
    case Code::policy_denied:
        return 403;
    case Code::not_staged:
    case Code::source_not_found:
        return 404;
    case Code::unsupported:
        return 405;
    case Code::service_busy:
        return 429;
    case Code::quota_exceeded:
    case Code::out_of_space:
        return 507;
    default:
        return 500;
    }
}

json job_json(const Job& job) {
    json object = {{"id", job.id},
                   {"state", state_name(job.state)},
                   {"reference", job.request.reference},
                   {"platform", job.request.platform}};
    object["last_event"] = json::parse(job.last_event, nullptr, false);
    return object;
}

base::Error protocol_error(std::string message) {
    return {Code::service_protocol, 0, std::move(message),
            "client and service must be of one version: update the older one"};
}

/// A field of the body, of the type that it must have.
template <typename T>
base::Result<void> take(const nlohmann::json& body, const char* key, T& target) {
    const auto found = body.find(key);
    if (found == body.end()) {
        return {};
    }
    try {
        found->get_to(target);
    } catch (const json::exception&) {
        return base::Unexpected(protocol_error(fmt::format("field '{}' has the wrong type", key)));
    }
    return {};
}

} // namespace

ApiResponse error_response(const base::Error& error) {
    ApiResponse response;
    response.status = status_of(error.code);
    response.body = dump({{"code", base::code_name(error.code)},
                          {"message", error.message},
                          {"hint", error.hint}});
    return response;
}

base::Result<std::pair<stage::StageRequest, bool>> parse_submit(std::string_view body, uid_t uid) {
    // Not the ordered kind, whose time grows with the square of the number of keys.
    const auto object = nlohmann::json::parse(body, nullptr, false);
    if (!object.is_object()) {
        return base::Unexpected(protocol_error("the request is not a JSON object"));
    }
    for (const auto& [key, value] : object.items()) {
        if (key != "reference" && key != "platform" && key != "pull" && key != "detach") {
            return base::Unexpected(
                protocol_error("the request has an unknown field " + base::in_quotes(key)));
        }
    }
    stage::StageRequest request;
    request.uid = uid;
    bool detach = false;
    std::string pull = "missing";
    TRY(take(object, "reference", request.reference));
    TRY(take(object, "platform", request.platform));
    TRY(take(object, "pull", pull));
    TRY(take(object, "detach", detach));
    if (request.reference.empty() || request.reference.size() > max_reference ||
        request.platform.size() > 64) {
        return base::fail(Code::reference_invalid,
                          fmt::format("a reference has 1 to {} characters", max_reference));
    }
    if (pull == "always") {
        request.pull = stage::PullPolicy::always;
    } else if (pull == "never") {
        request.pull = stage::PullPolicy::never;
    } else if (pull != "missing") {
        return base::fail(Code::option_invalid, "unknown pull policy " + base::in_quotes(pull),
                          "one of missing, always, never");
    }
    return std::pair(std::move(request), detach);
}

Api::Api(JobTable& table, Metrics& metrics, const store::Store& store, uid_t admin, Disk disk)
    : table_(table), metrics_(metrics), store_(store), admin_(admin), disk_(std::move(disk)) {}

void Api::handle(const ApiRequest& request, const Reply& reply) {
    metrics_.requests.fetch_add(1, std::memory_order_relaxed);
    if (!request.api.empty() && request.api != stage::api_version) {
        return reply(error_response(stage::version_mismatch(request.api, stage::api_version)));
    }
    const auto path = std::string_view(request.target).substr(0, request.target.find('?'));
    const auto parts = base::split(path.substr(std::min<std::size_t>(1, path.size())), '/');
    const bool get = request.method == "GET";
    if (path == "/healthz" && get) {
        return reply({200, "text/plain", "ok\n", nullptr});
    }
    if (path == "/metrics" && get) {
        return reply({200, "text/plain; version=0.0.4",
                      metrics_.text(table_.running(), table_.queued()), nullptr});
    }
    if (parts.size() >= 2 && parts[0] == "v1" && parts[1] == "images") {
        if (parts.size() == 2 && request.method == "POST") {
            return reply(submit(request));
        }
        if (parts.size() == 2 && get) {
            return images(request.peer.uid, reply);
        }
        if (parts.size() == 3 && get) {
            return reply(job(parts[2], false));
        }
        if (parts.size() == 4 && get && parts[3] == "events") {
            return reply(job(parts[2], true));
        }
        const bool change = (parts.size() == 3 && request.method == "DELETE") ||
                            (parts.size() == 4 && request.method == "POST" &&
                             (parts[3] == "pin" || parts[3] == "unpin"));
        if (change) {
            return change_image(request, parts[2], parts.size() == 4 ? parts[3] : "delete", reply);
        }
    }
    base::Error error{Code::not_staged, 0,
                      request.method.substr(0, 16) + " " + base::in_quotes(path) +
                          " is nothing that this service knows",
                      {}};
    reply(error_response(error));
}

ApiResponse Api::submit(const ApiRequest& request) {
    auto parsed = parse_submit(request.body, request.peer.uid);
    if (!parsed) {
        return error_response(parsed.error());
    }
    const auto job = table_.submit(parsed->first, parsed->second, Clock::now());
    if (!job) {
        metrics_.refused.fetch_add(1, std::memory_order_relaxed);
        return error_response(job.error());
    }
    const bool ready = (*job)->state == JobState::ready;
    if (ready) {
        metrics_.cached.fetch_add(1, std::memory_order_relaxed);
        renew_grant(**job, request.peer.uid);
    }
    ApiResponse response;
    response.status = ready ? 200 : 202;
    response.body = dump(job_json(**job));
    return response;
}

ApiResponse Api::job(std::string_view id, bool events) {
    const auto job = table_.find(std::string(id));
    if (!job) {
        return error_response({Code::not_staged, 0,
                               "no work with id " + base::in_quotes(id, 64) + " is known",
                               "ask for the image again"});
    }
    job->last_interest = Clock::now();
    ApiResponse response;
    if (events) {
        response.content_type = "application/x-ndjson";
        response.stream = job;
    } else {
        response.body = dump(job_json(*job));
    }
    return response;
}

/// All images, which everybody may use, and the asker's work: what others ask for is their affair.
void Api::images(uid_t asker, const Reply& reply) {
    json work = json::array();
    for (const auto& job : table_.all()) {
        if (asker == 0 || asker == admin_ || job->askers.contains(asker)) {
            work.push_back(job_json(*job));
        }
    }
    const auto* store = &store_;
    disk_([store, reply, work = std::move(work)]() -> std::function<void()> {
        json list = json::array();
        if (const auto images = store->list()) {
            for (const auto& image : *images) {
                const auto provenance = store->provenance(image.id);
                list.push_back({{"image", image.id},
                                {"path", image.path},
                                {"size", image.size},
                                {"reference", provenance ? provenance->reference : ""},
                                {"digest", provenance ? provenance->manifest_digest : ""},
                                {"pinned", image.pinned},
                                {"granted_until", image.granted_until}});
            }
        }
        ApiResponse response;
        response.body = dump({{"images", list}, {"work", work}});
        return [reply, response = std::move(response)] { reply(response); };
    });
}

void Api::change_image(const ApiRequest& request, std::string_view id, std::string_view action,
                       const Reply& reply) {
    if (request.peer.uid != admin_ && request.peer.uid != 0) {
        base::Error error{Code::policy_denied, 0,
                          fmt::format("uid {} may not {} images", request.peer.uid, action),
                          "only root and the service's own user may"};
        return reply(error_response(error));
    }
    const bool force = request.target.find("?force") != std::string::npos;
    disk_([store = &store_, id = std::string(id), action = std::string(action), force,
           reply]() -> std::function<void()> {
        const auto done = action == "pin"     ? store->pin(id)
                          : action == "unpin" ? store->unpin(id)
                                              : store->remove(id, force);
        auto response = done ? ApiResponse{200, "application/json", "{}\n", nullptr}
                             : error_response(done.error());
        return [reply, response = std::move(response)] { reply(response); };
    });
}

/// Every srun renews the grant of its image; once an hour for a user and an image is enough.
void Api::renew_grant(const Job& job, uid_t uid) {
    const auto now = Clock::now();
    auto& last = granted_[{job.image.id, uid}];
    if (last != Clock::time_point() && now - last < std::chrono::hours(1)) {
        return;
    }
    last = now;
    disk_([store = &store_, id = job.image.id, uid]() -> std::function<void()> {
        if (const auto done = store->grant(id, uid); !done) {
            base::log(base::LogLevel::warning, done.error().one_line());
        }
        return {};
    });
}

} // namespace slipway::prefetch::service
