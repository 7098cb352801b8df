// SPDX-License-Identifier: Apache-2.0
#include "prefetch/service/api.hpp"

#include "base/format.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "prefetch/service/http_status.hpp"
#include "prefetch/stage/event_json.hpp"

#include <algorithm>

namespace slipway::prefetch::service {
namespace {

using base::Code;
using base::json::OrderedValue;

constexpr std::size_t max_reference = 1024;
constexpr std::size_t max_platform = 64;
constexpr std::size_t max_body = 64U << 10U;

std::string text_of(const OrderedValue& value) {
    return base::json::compact(value) + "\n";
}

OrderedValue job_object(const Job& job) {
    return {{"id", job.id},
            {"state", job_states.name(job.state)},
            {"reference", job.request.reference},
            {"platform", job.request.platform},
            {"last_event", stage::event_object(job.latest)}};
}

ApiResponse job_response(const Job& job) {
    ApiResponse response;
    response.status = job.state == JobState::ready ? 200 : 202;
    response.body = text_of(job_object(job));
    return response;
}

OrderedValue image_object(const store::Store& store, const store::StoredImage& image) {
    const auto provenance = store.provenance(image.id);
    return {{"image", image.id},
            {"path", image.path},
            {"size", image.size},
            {"reference", provenance ? provenance->reference : ""},
            {"digest", provenance ? provenance->manifest_digest : ""},
            {"pinned", image.pinned},
            {"granted_until", image.granted_until}};
}

base::Error protocol_error(std::string message) {
    return {Code::service_protocol, 0, std::move(message),
            "client and service must be of one version: update the older one"};
}

std::string policy_names() {
    return base::joined(stage::pull_policies.names(), ", ");
}

/// The same for work that never was, that is forgotten, and that is somebody else's.
ApiResponse unknown_job(std::string_view id) {
    return error_response({Code::not_staged, 0,
                           "no work with id " + base::in_quotes(id, 64) + " is known",
                           "ask for the image again"});
}

/// What stands for {id}, or nothing when the path does not fit.
std::optional<std::string_view> match(std::string_view pattern, std::string_view path) {
    constexpr std::string_view placeholder = "{id}";
    const auto at = pattern.find(placeholder);
    if (at == std::string_view::npos) {
        return path == pattern ? std::optional(std::string_view()) : std::nullopt;
    }
    const auto tail = pattern.substr(at + placeholder.size());
    if (path.size() <= at + tail.size() || !path.starts_with(pattern.substr(0, at)) ||
        !path.ends_with(tail)) {
        return std::nullopt;
    }
    const auto id = path.substr(at, path.size() - at - tail.size());
    return id.find('/') == std::string_view::npos ? std::optional(id) : std::nullopt;
}

ApiResponse no_route(const ApiRequest& request, std::string_view path, bool path_known) {
    auto response = error_response(
        protocol_error(request.method.substr(0, 16) + " " + base::in_quotes(path) +
                       (path_known ? " is no method of this path"
                                   : " is nothing that this service knows")));
    response.status = path_known ? 405 : 404;
    return response;
}

} // namespace

std::span<const Api::Route> Api::routes() noexcept {
    static constexpr Route table[] = {
        {"GET", "/healthz", Access::anybody, &Api::health},
        {"GET", "/metrics", Access::anybody, &Api::metrics},
        {"POST", "/v1/images", Access::anybody, &Api::submit},
        {"GET", "/v1/images", Access::anybody, &Api::list},
        {"GET", "/v1/images/{id}", Access::askers, &Api::show},
        {"GET", "/v1/images/{id}/events", Access::askers, &Api::events},
        {"DELETE", "/v1/images/{id}", Access::admin, &Api::remove},
        {"POST", "/v1/images/{id}/pin", Access::admin, &Api::pin},
        {"POST", "/v1/images/{id}/unpin", Access::admin, &Api::unpin},
    };
    return table;
}

ApiResponse error_response(const base::Error& error) {
    ApiResponse response;
    response.status = http_status(error.code);
    response.body = text_of(stage::error_object(error));
    return response;
}

base::Result<std::pair<stage::StageRequest, bool>> parse_submit(std::string_view body, uid_t uid) {
    const auto object =
        base::json::parse_object(body, max_body, Code::service_protocol, "the request");
    if (!object) {
        return base::Unexpected(protocol_error(object.error().message));
    }
    for (const auto& [key, value] : object->items()) {
        if (key != "reference" && key != "platform" && key != "pull" && key != "detach") {
            return base::Unexpected(
                protocol_error("the request has an unknown field " + base::in_quotes(key)));
        }
    }
    base::json::Reader reader(*object);
    stage::StageRequest request;
    request.uid = uid;
    request.reference = reader.text("reference");
    request.platform = reader.text("platform");
    const auto pull = reader.text("pull");
    const bool detach = reader.boolean("detach");
    if (!reader.ok()) {
        return base::Unexpected(
            protocol_error(fmt::format("field '{}' has the wrong type", reader.wrong())));
    }
    if (request.reference.empty() || request.reference.size() > max_reference ||
        request.platform.size() > max_platform) {
        return base::fail(Code::reference_invalid,
                          fmt::format("a reference has 1 to {} characters", max_reference));
    }
    if (!pull.empty()) {
        const auto policy = stage::pull_policies.value(pull);
        if (!policy) {
            return base::fail(Code::option_invalid, "unknown pull policy " + base::in_quotes(pull),
                              "one of " + policy_names());
        }
        request.pull = *policy;
    }
    return std::pair(std::move(request), detach);
}

base::Result<bool> parse_force(std::string_view query) {
    if (query.empty() || query == "force=0" || query == "force=false") {
        return false;
    }
    if (query == "force=1" || query == "force=true") {
        return true;
    }
    return base::fail(Code::usage, "unknown parameter " + base::in_quotes(query, 64),
                      "DELETE knows force=1 and force=0");
}

Api::Api(JobTable& table, Metrics& metrics, const store::Store& store, uid_t admin, OffThread looks,
         OffThread disk)
    : table_(table), metrics_(metrics), store_(store), admin_(admin), disk_(std::move(disk)),
      watch_(store, std::move(looks)) {}

void Api::handle(const ApiRequest& request, const Reply& reply) {
    metrics_.requests.fetch_add(1, std::memory_order_relaxed);
    if (!request.api.empty() && request.api != stage::api_version) {
        return reply(error_response(stage::version_mismatch(request.api, stage::api_version)));
    }
    const std::string_view target = request.target;
    const auto path = target.substr(0, target.find('?'));
    const auto query = target.substr(std::min(target.size(), path.size() + 1));
    bool path_known = false;
    for (const auto& route : routes()) {
        const auto id = match(route.pattern, path);
        path_known = path_known || id.has_value();
        if (!id || route.method != request.method) {
            continue;
        }
        const auto uid = request.peer.uid;
        if (route.access == Access::admin && !is_admin(uid)) {
            return reply(error_response({Code::policy_denied, 0,
                                         fmt::format("uid {} may not change images", uid),
                                         "only root and the service's own user may"}));
        }
        Call call{request, *id, query, nullptr};
        if (route.access == Access::askers) {
            call.job = table_.find(std::string(*id));
            if (!call.job || !(is_admin(uid) || call.job->askers.contains(uid))) {
                return reply(unknown_job(*id));
            }
        }
        return (this->*route.handler)(call, reply);
    }
    reply(no_route(request, path, path_known));
}

void Api::health(const Call&, const Reply& reply) {
    reply({200, "text/plain", "ok\n", nullptr});
}

void Api::metrics(const Call&, const Reply& reply) {
    reply({200, "text/plain; version=0.0.4", metrics_.text(table_.running(), table_.queued()),
           nullptr});
}

void Api::submit(const Call& call, const Reply& reply) {
    auto parsed = parse_submit(call.request.body, call.request.peer.uid);
    if (!parsed) {
        return reply(error_response(parsed.error()));
    }
    answer_submit(parsed->first, parsed->second, reply);
}

void Api::answer_submit(const stage::StageRequest& request, bool detached, const Reply& reply) {
    const auto submitted = table_.submit(request, detached, Clock::now());
    if (!submitted) {
        metrics_.refused.fetch_add(1, std::memory_order_relaxed);
        return reply(error_response(submitted.error()));
    }
    const auto& job = *submitted;
    if (job->image() == nullptr) {
        return reply(job_response(*job));
    }
    watch_.confirm(job->image()->id, request.uid,
                   [this, job, request, detached, reply](bool there) {
                       if (there) {
                           metrics_.cached.fetch_add(1, std::memory_order_relaxed);
                           return reply(job_response(*job));
                       }
                       table_.forget(*job); // removed meanwhile: staged again
                       answer_submit(request, detached, reply);
                   });
}

/// Answers about a job; one that is remembered as ready only when its image is there.
void Api::answer_job(const std::shared_ptr<Job>& job, uid_t uid, const Reply& reply,
                     std::function<void()> answer) {
    job->last_interest = Clock::now();
    if (job->image() == nullptr) {
        return answer();
    }
    watch_.confirm(job->image()->id, uid,
                   [this, job, reply, answer = std::move(answer)](bool there) {
                       if (there) {
                           return answer();
                       }
                       table_.forget(*job);
                       reply(unknown_job(job->id));
                   });
}

void Api::show(const Call& call, const Reply& reply) {
    answer_job(call.job, call.request.peer.uid, reply, [job = call.job, reply] {
        ApiResponse response;
        response.body = text_of(job_object(*job));
        reply(response);
    });
}

void Api::events(const Call& call, const Reply& reply) {
    answer_job(call.job, call.request.peer.uid, reply, [job = call.job, reply] {
        ApiResponse response;
        response.content_type = "application/x-ndjson";
        response.stream = job;
        reply(response);
    });
}

/// All images, which everybody may use, and the asker's work: what others ask for is their affair.
void Api::list(const Call& call, const Reply& reply) {
    const auto asker = call.request.peer.uid;
    struct Work {
        store::ImageId image; ///< "" unless it is ready
        OrderedValue object;
    };
    std::vector<Work> work;
    for (const auto& job : table_.all()) {
        if (is_admin(asker) || job->askers.contains(asker)) {
            work.push_back({job->image() != nullptr ? job->image()->id : "", job_object(*job)});
        }
    }
    off_thread(reply, [store = &store_, work = std::move(work)] {
        OrderedValue images = OrderedValue::array();
        OrderedValue jobs = OrderedValue::array();
        if (const auto stored = store->list()) {
            for (const auto& image : *stored) {
                images.push_back(image_object(*store, image));
            }
        }
        for (const auto& [image, object] : work) {
            if (image.empty() || store->find_again(image)) {
                jobs.push_back(object);
            }
        }
        ApiResponse response;
        response.body = text_of({{"images", std::move(images)}, {"work", std::move(jobs)}});
        return response;
    });
}

void Api::remove(const Call& call, const Reply& reply) {
    const auto force = parse_force(call.query);
    if (!force) {
        return reply(error_response(force.error()));
    }
    change(reply, [id = std::string(call.id), force = *force](const store::Store& store) {
        return store.remove(id, force);
    });
}

void Api::pin(const Call& call, const Reply& reply) {
    change(reply, [id = std::string(call.id)](const store::Store& store) { return store.pin(id); });
}

void Api::unpin(const Call& call, const Reply& reply) {
    change(reply,
           [id = std::string(call.id)](const store::Store& store) { return store.unpin(id); });
}

void Api::change(const Reply& reply, std::function<base::Result<void>(const store::Store&)> work) {
    off_thread(reply, [store = &store_, work = std::move(work)] {
        const auto done = work(*store);
        return done ? ApiResponse{200, "application/json", "{}\n", nullptr}
                    : error_response(done.error());
    });
}

void Api::off_thread(const Reply& reply, std::function<ApiResponse()> work) {
    const auto response = std::make_shared<ApiResponse>();
    disk_([response, work = std::move(work)] { *response = work(); },
          [response, reply](bool done) {
              reply(done ? std::move(*response)
                         : error_response({Code::internal, 0, "the service cannot answer now",
                                           "try again; if it stays so, report it to your site"}));
          });
}

} // namespace slipway::prefetch::service
