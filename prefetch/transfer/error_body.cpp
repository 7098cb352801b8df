// SPDX-License-Identifier: Apache-2.0
#include "prefetch/transfer/error_body.hpp"

#include "base/format.hpp"
#include "base/json.hpp"
#include "base/text.hpp"

#include <algorithm>

namespace slipway::prefetch::transfer {
namespace {

using base::Code;

constexpr std::size_t max_text = 300;
constexpr std::size_t max_body = 64 * 1024;

std::string text_of(const base::json::Value& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::string join(const std::string& a, const std::string& b) {
    return a.empty() || b.empty() ? a + b : a + ": " + b;
}

std::string registry_errors(const base::json::Value& list) {
    std::string out;
    for (const auto& entry : list) {
        if (!entry.is_object() || out.size() > max_text) {
            continue;
        }
        const auto one = join(text_of(entry, "code"), text_of(entry, "message"));
        out += out.empty() || one.empty() ? one : "; " + one;
    }
    return out;
}

std::string json_text(const base::json::Value& body) {
    if (const auto list = body.find("errors"); list != body.end() && list->is_array()) {
        return registry_errors(*list);
    }
    if (const auto text = text_of(body, "details"); !text.empty()) {
        return text;
    }
    if (const auto text = join(text_of(body, "error"), text_of(body, "error_description"));
        !text.empty()) {
        return text;
    }
    return text_of(body, "message");
}

Code code_for(int status) {
    if (status == 401 || status == 403) {
        return Code::source_denied;
    }
    if (status == 404) {
        return Code::source_not_found;
    }
    if (status == 429) {
        return Code::source_rate_limited;
    }
    return status == 408 || status >= 500 ? Code::source_unreachable : Code::source_protocol;
}

std::string hint_for(int status) {
    switch (status) {
    case 401:
        return "credentials are taken from SLIPWAY_DOCKER_USERNAME and SLIPWAY_DOCKER_PASSWORD or from "
               "~/.docker/config.json, which `docker login`, `podman login` and `skopeo login` write";
    case 403:
        return "check that the image exists and that the credentials may read it";
    case 404:
        return "check the spelling of the image and its tag";
    case 429:
        return "wait, log in, or ask the administrator to configure a mirror";
    default:
        return status >= 500 ? "the server has a problem; try again later" : "";
    }
}

} // namespace

std::string error_text(std::string_view body) {
    std::string text;
    const auto trimmed = base::trim(body);
    if (!trimmed.empty() && trimmed.front() == '{') {
        const auto parsed =
            base::json::parse_object(trimmed, max_body, Code::source_protocol, "the error");
        text = parsed ? json_text(*parsed) : std::string();
    } else if (trimmed.size() <= max_text && trimmed.find('<') == std::string_view::npos) {
        text = trimmed.substr(0, trimmed.find_first_of("\r\n"));
    }
    if (text.size() > max_text) {
        text = text.substr(0, max_text) + "...";
    }
    return base::printable(text);
}

base::Error status_error(const Url& url, const HttpHead& head, std::string_view body) {
    const auto text = error_text(body);
    auto message = fmt::format("{}{} answers {}", url.host_port(),
                               url.target.substr(0, url.target.find('?')), head.status);
    if (!text.empty()) {
        message += ": " + text;
    }
    return base::Error{code_for(head.status), 0, std::move(message), hint_for(head.status)};
}

} // namespace slipway::prefetch::transfer
