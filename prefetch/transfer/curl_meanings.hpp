// SPDX-License-Identifier: Apache-2.0
// Only for curl_engine.cpp: what libcurl's codes mean to people.
#pragma once

#include "base/error_codes.hpp"

#include <array>

#include <curl/curl.h>

namespace slipway::prefetch::transfer {

struct CurlMeaning {
    CURLcode code;
    base::Code ours;
    bool transient;
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
    CurlMeaning{CURLE_COULDNT_RESOLVE_HOST, base::Code::source_unreachable, true,
                "the host name cannot be resolved", network_hint},
    CurlMeaning{CURLE_COULDNT_RESOLVE_PROXY, base::Code::source_unreachable, true,
                "the name of the proxy cannot be resolved", network_hint},
    CurlMeaning{CURLE_COULDNT_CONNECT, base::Code::source_unreachable, true, "cannot connect",
                network_hint},
    CurlMeaning{CURLE_OPERATION_TIMEDOUT, base::Code::timed_out, true, "no answer in time", network_hint},
    CurlMeaning{CURLE_PEER_FAILED_VERIFICATION, base::Code::source_denied, false,
                "the certificate of the server cannot be trusted", tls_hint},
    CurlMeaning{CURLE_SSL_CACERT_BADFILE, base::Code::source_denied, false,
                "the file with trusted certificates cannot be used", tls_hint},
    CurlMeaning{CURLE_SSL_CONNECT_ERROR, base::Code::source_unreachable, true,
                "the TLS handshake failed",
                "a registry that speaks plain http needs `insecure: true` in slipway.yaml"},
    CurlMeaning{CURLE_PARTIAL_FILE, base::Code::source_unreachable, true,
                "the connection ended before the whole body had arrived", ""},
    CurlMeaning{CURLE_GOT_NOTHING, base::Code::source_unreachable, true,
                "the server closed the connection without an answer", ""},
    CurlMeaning{CURLE_SEND_ERROR, base::Code::source_unreachable, true, "the connection broke", ""},
    CurlMeaning{CURLE_RECV_ERROR, base::Code::source_unreachable, true, "the connection broke", ""},
    CurlMeaning{CURLE_UNSUPPORTED_PROTOCOL, base::Code::source_protocol, false,
                "the server does not speak HTTP", ""},
    CurlMeaning{CURLE_WEIRD_SERVER_REPLY, base::Code::source_protocol, true,
                "the server does not speak HTTP as it should", ""},
    CurlMeaning{CURLE_OUT_OF_MEMORY, base::Code::system, false, "out of memory", ""},
};

inline bool never_connected(CURLcode code) {
    return code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY ||
           code == CURLE_COULDNT_CONNECT;
}

} // namespace slipway::prefetch::transfer
