// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/transfer/client.hpp"
#include "prefetch/transfer/retry.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

/// Downloads as callers want them: redirects, authorization, retries and resumption on top of
/// single exchanges. Everything here blocks the calling thread and ends soon after `stop`.
namespace slipway::prefetch::transfer {

/// Supplies the Authorization header for one origin. Thread-safe.
class Authorizer {
  public:
    Authorizer() = default;
    Authorizer(const Authorizer&) = delete;
    Authorizer& operator=(const Authorizer&) = delete;
    virtual ~Authorizer() = default;

    /// Header value for the next request; empty for none.
    virtual base::Result<base::Secret> authorization(const std::stop_token& stop) = 0;
    /// The origin answered 401 to a request that carried `used`. True: another request with a new
    /// header may succeed; false: the 401 is final.
    virtual base::Result<bool> challenged(const HttpHead& reply, const base::Secret& used,
                                          const std::stop_token& stop) = 0;
};

struct FetchContext {
    std::shared_ptr<HttpClient> client;
    RetryPolicy retry;
    Pace pace = real_pace();
    PlainHttpRule plain_http_ok; ///< hosts that redirects may reach by plain http; empty: none
    /// Called when no connection to the request's own host comes about; empty: nobody wants to know.
    std::function<void()> no_connection{};
    std::stop_token stop;
};

struct FetchRequest {
    HttpRequest http;
    std::shared_ptr<Authorizer> authorizer; ///< asked for requests to http.url's origin only
};

struct Fetched {
    HttpHead head;
    std::string body;
    Url url; ///< where the reply came from, after redirects
};

/// One whole reply. Redirects of GET and HEAD are followed (follow_redirect()); once the origin has
/// changed no authorization is sent any more, not even when a redirect leads back. A 401 is put
/// before the authorizer at most twice. Transient failures and, except after HEAD, retryable statuses
/// are tried again.
/// Other statuses come back as they are: status_error() makes an error of them.
base::Result<Fetched> fetch(const FetchContext& context, const FetchRequest& request,
                            std::size_t max_body);

/// A body as a stream that survives cuts: after a transient failure it asks for the rest by Range,
/// and where a server does not do that properly it starts over and drops what it already gave.
class BlobStream {
  public:
    struct Expectation {
        /// Size by the manifest. A longer body is cut off with Code::digest_mismatch, and one that
        /// ends early is asked for again.
        std::optional<std::uint64_t> size;
        std::uint64_t max_size = UINT64_MAX; ///< limit for a body of unknown size
        /// The bytes have no digest of their own: continue only while the ETag stays the same.
        bool check_etag = false;
    };

    /// Sends the first request, so that "not found" and "denied" come from here.
    static base::Result<std::unique_ptr<BlobStream>> open(FetchContext context, FetchRequest request,
                                                          Expectation expectation);
    BlobStream(const BlobStream&) = delete;
    BlobStream& operator=(const BlobStream&) = delete;
    ~BlobStream();

    /// Waits for bytes; 0 is the end of the blob. After an error the stream is of no more use.
    base::Result<std::size_t> read(std::span<std::uint8_t> out);
    [[nodiscard]] std::uint64_t position() const noexcept { return position_; }
    /// Header of the first good reply.
    [[nodiscard]] const HttpHead& head() const noexcept { return head_; }

  private:
    BlobStream(FetchContext context, FetchRequest request, Expectation expectation);
    base::Result<void> connect();
    std::optional<Failure> accept(const HttpHead& head, const Url& url);
    std::optional<Failure> accept_part(const HttpHead& head, const Url& url);
    std::optional<Failure> accept_whole(const HttpHead& head, const Url& url);
    base::Result<bool> at_end();
    base::Result<void> count(std::size_t got);

    FetchContext context_;
    FetchRequest request_;
    Expectation expectation_;
    Retrier retrier_;
    std::unique_ptr<Exchange> exchange_;
    HttpHead head_;
    std::string etag_;
    std::uint64_t position_ = 0; ///< bytes given to the reader
    std::uint64_t discard_ = 0;  ///< bytes of the running reply that the reader already has
    std::uint64_t progress_mark_ = 0;
    bool no_range_ = false;     ///< the server has lied about a range: start over instead
    bool wrong_length_ = false; ///< it has announced a wrong length once
    bool complete_ = false;
};

} // namespace slipway::prefetch::transfer
