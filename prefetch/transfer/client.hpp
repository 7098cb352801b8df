// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"
#include "base/secret.hpp"
#include "prefetch/transfer/headers.hpp"
#include "prefetch/transfer/network_policy.hpp"
#include "prefetch/transfer/resolver.hpp"
#include "prefetch/transfer/url.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace slipway::prefetch::transfer {

/// One HTTP exchange: no redirects, no retries, no cookies. HTTP/1.1 only: a paused HTTP/2 stream
/// still fills its window of 32 MiB, and bulk downloads gain nothing from sharing a connection.
struct HttpRequest {
    std::string method = "GET"; ///< GET, HEAD or POST
    Url url;
    std::vector<std::pair<std::string, std::string>> headers;
    base::Secret authorization; ///< value of the Authorization header; empty for none
    base::Secret body;          ///< of a POST
    std::string ca_file;  ///< trusted beside the system's certificates; "" for none
    std::chrono::milliseconds connect_timeout{20'000};
    /// The exchange fails when fewer than 64 bytes/s arrive for that long (whole seconds). There is
    /// no limit on the total time: images are large. Time in which nobody reads does not count.
    std::chrono::seconds idle_timeout{60};
    std::size_t buffer_bytes = 1 << 20; ///< body bytes held for a reader before the server must wait
    std::uint64_t max_bytes_per_second = 0; ///< 0: no limit
    bool public_only = false; ///< as AddressPolicy::public_only, for this exchange
};

struct HttpHead {
    int status = 0;
    Headers headers;
    AddressKind peer = AddressKind::other; ///< what the connection goes to
    bool proxied = false;                  ///< the peer is a proxy
};

/// Why an exchange failed and whether trying again may help.
struct ExchangeFailure {
    base::Error error;
    bool transient = false;
    bool never_connected = false; ///< no name, no route, nobody there: likely to stay that way
    /// A name that was not resolved, and quickly: only when it may be resolved later is the failure transient.
    std::string unresolved{};
};

class Exchange;

/// An HTTP client that owns one thread and libcurl's multi handle. All functions may be called from
/// any thread. Destroying it fails every exchange that is still open with Code::interrupted;
/// Exchange objects may outlive it.
///
/// TLS is always verified: system certificates, or $SSL_CERT_FILE in their place, plus the
/// request's ca_file. Proxies come from the environment.
class HttpClient {
  public:
    struct Options {
        AddressPolicy addresses;
        base::Environment environment = base::process_environment();
        std::string user_agent = "slipway/0.1";
        std::function<bool(const std::string& host)> may_resolve_later = transfer::may_resolve_later;
    };
    static base::Result<std::shared_ptr<HttpClient>> create(Options options);
    HttpClient(const HttpClient&) = delete;
    HttpClient& operator=(const HttpClient&) = delete;
    ~HttpClient();

    /// Starts an exchange whose body is read by the caller (back-pressure reaches the server).
    std::unique_ptr<Exchange> open(HttpRequest request, std::stop_token stop);

    struct Impl;

  private:
    explicit HttpClient(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
    std::shared_ptr<Impl> impl_;
};

struct Transfer; // what caller and curl thread share; client.cpp

/// A running exchange. One thread reads it. Destroying it cancels.
class Exchange {
  public:
    Exchange(std::shared_ptr<HttpClient::Impl> client, std::shared_ptr<Transfer> transfer,
             std::stop_token stop);
    Exchange(const Exchange&) = delete;
    Exchange& operator=(const Exchange&) = delete;
    ~Exchange();

    /// Waits for status line and headers. Errors: Code::source_unreachable, timed_out,
    /// source_denied (address or certificate refused), interrupted (stop was requested).
    base::Result<HttpHead> head();
    /// Waits for body bytes; 0 is the end, after the whole body has arrived.
    base::Result<std::size_t> read(std::span<std::uint8_t> out);
    /// After an error of head() or read(): the same, and whether to try again. Asks the resolver about a name
    /// that is not known.
    [[nodiscard]] ExchangeFailure failure() const;

  private:
    std::shared_ptr<HttpClient::Impl> client_;
    std::shared_ptr<Transfer> transfer_;
    std::stop_token stop_;
};

} // namespace slipway::prefetch::transfer
