// SPDX-License-Identifier: Apache-2.0
// What a registry and its token service may say: challenges, realms, tokens, errors, redirects.
#include "base/text.hpp"
#include "prefetch/sources/challenge.hpp"
#include "prefetch/transfer/error_body.hpp"
#include "prefetch/transfer/headers.hpp"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using namespace slipway::prefetch::sources;
using namespace slipway::prefetch::transfer;

void check(bool good) {
    if (!good) {
        std::abort();
    }
}

/// A URL that was accepted must mean the same when it is read again.
void check_url(const Url& url) {
    const auto again = Url::parse(url.text());
    check(again.has_value() && same_origin(url, *again) && url.target == again->target);
    check(url.text().find_first_of(" \r\n\t") == std::string::npos);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    std::vector<std::string> fields;
    for (const auto line : slipway::base::split(text, '\n')) {
        fields.emplace_back(line);
    }
    const auto challenges = parse_challenges(fields);
    check(challenges.size() <= 16 * fields.size());
    for (const auto& challenge : challenges) {
        TokenService service;
        const auto realm = challenge.parameters.find("realm");
        service.realm = realm == challenge.parameters.end() ? "https://a/" : realm->second;
        service.merge_scopes(text);
        if (const auto url = token_url(service, text)) {
            check_url(*url);
        }
    }
    if (const auto token = parse_token(text)) {
        check(token->value.reveal().find_first_of("\r\n ") == std::string_view::npos);
    }
    check(error_text(text).find_first_of("\r\n\x1b") == std::string::npos);
    const auto base = *Url::parse("https://registry.example/v2/a/blobs/b?c");
    if (const auto hop = follow_redirect(base, text, 0, {})) {
        check_url(hop->url);
        check(!hop->url.plain_http());
        check(!hop->keep_authorization || hop->url.host == "registry.example");
    }
    (void)parse_content_range(text);
    (void)parse_retry_after(text, std::chrono::sys_seconds());
    return 0;
}
