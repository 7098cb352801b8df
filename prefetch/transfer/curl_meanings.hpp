// SPDX-License-Identifier: Apache-2.0
// Only for curl_engine.cpp: what libcurl's codes mean to people.
#pragma once

#include "base/error_codes.hpp"

#include <array>
#include <string_view>

#include <curl/curl.h>

namespace slipway::prefetch::transfer {

/// Whether another attempt is worth its time.
enum class Again {
    no,        ///< the answer would be the same
    yes,       ///< something broke on the way
    connect,   ///< nobody is there: some attempts
    name,      ///< the same, but none where the resolver says that there is no such name
    handshake, ///< yes, unless the TLS library says what is wrong with the other side
    answer,    ///< yes; as `connect` where the request could never be sent
};

struct CurlMeaning {
    CURLcode code;
    base::Code ours;
    Again again;
    const char* text;
    const char* hint;
};

inline constexpr const char* network_hint = "check the host name, the network and the proxy variables";
inline constexpr const char* allow_hint =
    "the administrator can allow the host under `registries:` in slipway.yaml";
inline constexpr const char* tls_hint =
    "if the site uses its own certificates, name them by `ca_file` of the registry in slipway.yaml "
    "or by SSL_CERT_FILE";

inline constexpr std::array meanings{
    CurlMeaning{CURLE_COULDNT_RESOLVE_HOST, base::Code::source_unreachable, Again::name,
                "the host name cannot be resolved", network_hint},
    CurlMeaning{CURLE_COULDNT_RESOLVE_PROXY, base::Code::source_unreachable, Again::connect,
                "the name of the proxy cannot be resolved", network_hint},
    CurlMeaning{CURLE_COULDNT_CONNECT, base::Code::source_unreachable, Again::connect,
                "cannot connect", network_hint},
    CurlMeaning{CURLE_OPERATION_TIMEDOUT, base::Code::timed_out, Again::answer,
                "no answer in time", network_hint},
    CurlMeaning{CURLE_PEER_FAILED_VERIFICATION, base::Code::source_denied, Again::no,
                "the certificate of the server cannot be trusted", tls_hint},
    CurlMeaning{CURLE_SSL_CACERT_BADFILE, base::Code::source_denied, Again::no,
                "the file with trusted certificates cannot be used", tls_hint},
    CurlMeaning{CURLE_SSL_CONNECT_ERROR, base::Code::source_unreachable, Again::handshake,
                "the TLS handshake failed",
                "a registry that speaks plain http needs `insecure: true` in slipway.yaml"},
    CurlMeaning{CURLE_PARTIAL_FILE, base::Code::source_unreachable, Again::yes,
                "the connection ended before the whole body had arrived", ""},
    CurlMeaning{CURLE_GOT_NOTHING, base::Code::source_unreachable, Again::yes,
                "the server closed the connection without an answer", ""},
    CurlMeaning{CURLE_SEND_ERROR, base::Code::source_unreachable, Again::yes,
                "the connection broke", ""},
    CurlMeaning{CURLE_RECV_ERROR, base::Code::source_unreachable, Again::yes,
                "the connection broke", ""},
    CurlMeaning{CURLE_UNSUPPORTED_PROTOCOL, base::Code::source_protocol, Again::no,
                "the server does not speak HTTP", ""},
    CurlMeaning{CURLE_WEIRD_SERVER_REPLY, base::Code::source_protocol, Again::yes,
                "the server does not speak HTTP as it should", ""},
    CurlMeaning{CURLE_OUT_OF_MEMORY, base::Code::system, Again::no, "out of memory", ""},
};

/// Whether the TLS library has an objection to what the other side says (no TLS, no common version, no common
/// cipher): that stays. A connection that was cut, and a server that has a problem of its own, do not.
inline bool refused_by_tls(std::string_view detail) {
    constexpr auto found = [](std::string_view text, std::string_view part) {
        return text.find(part) != std::string_view::npos;
    };
    return found(detail, "SSL routines:") && !found(detail, "unexpected eof") &&
           !found(detail, "internal error");
}

} // namespace slipway::prefetch::transfer
