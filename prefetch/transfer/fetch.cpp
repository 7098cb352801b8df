// SPDX-License-Identifier: Apache-2.0
#include "prefetch/transfer/fetch.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "prefetch/transfer/error_body.hpp"

#include <algorithm>
#include <array>

namespace slipway::prefetch::transfer {
namespace {

using base::Code;
using base::fail;

constexpr std::size_t max_error_body = 16 * 1024;
constexpr int max_challenges = 2;
constexpr std::uint64_t good_progress = 1 << 20;

/// An exchange whose final head is known.
struct Opened {
    std::unique_ptr<Exchange> exchange;
    HttpHead head;
    Url url;
};

bool is_redirect(int status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

Failure permanent(base::Error error) { return {std::move(error), false, {}, false}; }

Failure failure_of_exchange(const Exchange& exchange, base::Error error) {
    const auto why = exchange.failure();
    return {std::move(error), why.transient, {}, why.never_connected};
}

/// The error of a reply whose status is worth another attempt.
Failure failure_of_status(const FetchContext& context, const Url& url, const HttpHead& head,
                          std::string_view body) {
    Failure failure{status_error(url, head, body), retryable_status(head.status), {}, false};
    if (head.status == 429 || head.status == 503) {
        failure.retry_after =
            parse_retry_after(head.headers.get("Retry-After"), context.pace.now());
    }
    return failure;
}

/// Reads at most `max` bytes; longer bodies are cut when `cut` is set, else an error.
base::Result<std::string> read_body(Exchange& exchange, std::size_t max, bool cut) {
    std::string body;
    std::array<std::uint8_t, 16 * 1024> buffer{};
    for (;;) {
        TRY_ASSIGN(const auto got, exchange.read(buffer));
        if (got == 0) {
            return body;
        }
        const auto room = std::min(got, max - body.size());
        body.append(reinterpret_cast<const char*>(buffer.data()), room);
        if (room < got) {
            if (cut) {
                return body;
            }
            return fail(Code::limit_exceeded,
                        fmt::format("the answer is longer than {} bytes", max));
        }
    }
}

/// Error bodies only decorate a message, so failing to read one is not an error of its own.
std::string read_error_body(Exchange& exchange) {
    auto body = read_body(exchange, max_error_body, true);
    return body ? std::move(*body) : std::string();
}

/// Follows redirects and answers challenges until there is a reply to look at. What went wrong
/// is in `failure`.
class HopWalk {
  public:
    HopWalk(const FetchContext& context, const FetchRequest& request)
        : context_(context), request_(request), http_(request.http) {}

    std::optional<Opened> run(std::optional<Failure>& failure) {
        for (;;) {
            auto opened = one(failure);
            if (!opened || !again_) {
                return opened;
            }
        }
    }

  private:
    std::optional<Opened> one(std::optional<Failure>& failure) {
        again_ = false;
        if (auto authorized = authorize(); !authorized) {
            failure = permanent(authorized.error());
            return std::nullopt;
        }
        Opened opened{context_.client->open(http_, context_.stop), {}, http_.url};
        auto head = opened.exchange->head();
        if (!head) {
            failure = failure_of_exchange(*opened.exchange, head.error());
            if (failure->never_connected && hops_ == 0 && context_.no_connection) {
                context_.no_connection();
            }
            return std::nullopt;
        }
        opened.head = std::move(*head);
        base::Result<void> decided;
        if (is_redirect(opened.head.status) && http_.method != "POST") {
            decided = redirect(opened);
        } else if (opened.head.status == 401 && with_authorization_ && request_.authorizer) {
            decided = challenge(opened);
        }
        if (!decided) {
            failure = permanent(decided.error());
            return std::nullopt;
        }
        return opened;
    }

    base::Result<void> authorize() {
        http_.authorization = base::Secret();
        if (with_authorization_ && request_.authorizer) {
            TRY_ASSIGN(http_.authorization, request_.authorizer->authorization(context_.stop));
        } else if (with_authorization_) {
            http_.authorization = request_.http.authorization;
        }
        return {};
    }

    base::Result<void> redirect(Opened& opened) {
        read_error_body(*opened.exchange); // a short body read to its end frees the connection
        TRY_ASSIGN(auto hop, follow_redirect(http_.url, opened.head.headers.get("Location"), hops_,
                                             context_.plain_http_ok));
        ++hops_;
        with_authorization_ = with_authorization_ && hop.keep_authorization;
        http_.url = std::move(hop.url);
        again_ = true;
        return {};
    }

    base::Result<void> challenge(Opened& opened) {
        if (challenges_ == max_challenges) {
            return {};
        }
        ++challenges_;
        TRY_ASSIGN(again_, request_.authorizer->challenged(opened.head, http_.authorization,
                                                           context_.stop));
        if (again_) {
            read_error_body(*opened.exchange);
        }
        return {};
    }

    const FetchContext& context_;
    const FetchRequest& request_;
    HttpRequest http_;
    bool with_authorization_ = true;
    bool again_ = false;
    int hops_ = 0;
    int challenges_ = 0;
};

std::optional<Fetched> fetch_once(const FetchContext& context, const FetchRequest& request,
                                  std::size_t max_body, std::optional<Failure>& failure) {
    auto opened = HopWalk(context, request).run(failure);
    if (!opened) {
        return std::nullopt;
    }
    const bool good = opened->head.status < 300;
    auto body = read_body(*opened->exchange, good ? max_body : max_error_body, !good);
    if (!body && good) {
        failure = failure_of_exchange(*opened->exchange,
                                      std::move(body.error()).context(opened->url.host_port()));
        return std::nullopt;
    }
    Fetched fetched{std::move(opened->head), body ? std::move(*body) : std::string(),
                    std::move(opened->url)};
    // Some servers know no HEAD: waiting would not teach them. Who asks goes on with GET.
    if (request.http.method != "HEAD" && retryable_status(fetched.head.status)) {
        failure = failure_of_status(context, fetched.url, fetched.head, fetched.body);
        return std::nullopt;
    }
    return fetched;
}

} // namespace

base::Result<Fetched> fetch(const FetchContext& context, const FetchRequest& request,
                            std::size_t max_body) {
    Retrier retrier(context.retry, context.pace, context.stop);
    for (;;) {
        std::optional<Failure> failure;
        auto fetched = fetch_once(context, request, max_body, failure);
        if (fetched) {
            return std::move(*fetched);
        }
        TRY(retrier.wait(std::move(*failure)));
    }
}

BlobStream::BlobStream(FetchContext context, FetchRequest request, Expectation expectation)
    : context_(std::move(context)), request_(std::move(request)), expectation_(expectation),
      retrier_(context_.retry, context_.pace, context_.stop) {}

BlobStream::~BlobStream() = default;

base::Result<std::unique_ptr<BlobStream>> BlobStream::open(FetchContext context,
                                                           FetchRequest request,
                                                           Expectation expectation) {
    std::unique_ptr<BlobStream> stream(
        new BlobStream(std::move(context), std::move(request), expectation));
    TRY(stream->connect());
    return stream;
}

/// Sets up exchange_ for the bytes from position_ on.
base::Result<void> BlobStream::connect() {
    for (;;) {
        exchange_.reset();
        std::optional<Failure> failure;
        FetchRequest request = request_;
        const bool ranged = position_ > 0 && !no_range_;
        if (ranged) {
            request.http.headers.emplace_back("Range", fmt::format("bytes={}-", position_));
            if (expectation_.check_etag && !etag_.empty()) {
                request.http.headers.emplace_back("If-Range", etag_);
            }
        }
        auto opened = HopWalk(context_, request).run(failure);
        if (opened) {
            exchange_ = std::move(opened->exchange);
            failure = accept(opened->head, opened->url);
            if (!failure) {
                retrier_.answered();
                return {};
            }
        }
        TRY(retrier_.wait(std::move(*failure)));
    }
}

std::optional<Failure> BlobStream::accept(const HttpHead& head, const Url& url) {
    const bool ranged = position_ > 0 && !no_range_;
    if (head.status == 200) {
        return accept_whole(head, url);
    }
    if (head.status == 206 && ranged) {
        return accept_part(head, url);
    }
    if (head.status == 416 && ranged) {
        no_range_ = true;
        return Failure{base::Error{Code::source_protocol, 0,
                                   fmt::format("{} refuses to continue at byte {}", url.host_port(),
                                               position_),
                                   {}},
                       true, {}, false};
    }
    return failure_of_status(context_, url, head, read_error_body(*exchange_));
}

std::optional<Failure> BlobStream::accept_whole(const HttpHead& head, const Url& url) {
    const auto length = content_length(head.headers);
    if (expectation_.size && length && *length != *expectation_.size) {
        // Once may be a broken cache on the way; twice is what the server has.
        const bool again = !wrong_length_;
        wrong_length_ = true;
        return Failure{base::Error{Code::digest_mismatch, 0,
                                   fmt::format("{} announces {} bytes for a blob of {} bytes",
                                               url.host_port(), *length, *expectation_.size),
                                   "the registry holds a damaged blob; push the image again"},
                       again, {}, false};
    }
    const auto etag = std::string(head.headers.get("ETag"));
    if (expectation_.check_etag && position_ > 0 && etag != etag_) {
        return permanent(base::Error{Code::source_protocol, 0,
                                     fmt::format("{} changed during the download", url.host_port()),
                                     "start again"});
    }
    if (head_.status == 0) {
        head_ = head;
        etag_ = etag;
    }
    discard_ = position_;
    return std::nullopt;
}

std::optional<Failure> BlobStream::accept_part(const HttpHead& head, const Url& url) {
    const auto range = parse_content_range(head.headers.get("Content-Range"));
    const bool fits = range && range->first == position_ &&
                      (!expectation_.size || !range->total || *range->total == *expectation_.size);
    if (!fits) {
        no_range_ = true;
        return Failure{base::Error{Code::source_protocol, 0,
                                   fmt::format("{} answers with a wrong range of bytes",
                                               url.host_port()),
                                   {}},
                       true, {}, false};
    }
    discard_ = 0;
    return std::nullopt;
}

/// All bytes that the manifest promises are there: is this also what the server thinks?
base::Result<bool> BlobStream::at_end() {
    if (!expectation_.size || position_ < *expectation_.size) {
        return false;
    }
    std::array<std::uint8_t, 1> probe{};
    auto got = exchange_->read(probe);
    if (got && *got > 0) {
        return fail(Code::digest_mismatch,
                    fmt::format("{} sends more than the {} bytes of the blob",
                                request_.http.url.host_port(), *expectation_.size),
                    "the registry holds a damaged blob; push the image again");
    }
    complete_ = true; // a cut behind the last byte does no harm
    return true;
}

base::Result<void> BlobStream::count(std::size_t got) {
    if (expectation_.size ? got > *expectation_.size - position_
                          : got > expectation_.max_size - position_) {
        return fail(expectation_.size ? Code::digest_mismatch : Code::limit_exceeded,
                    fmt::format("{} sends more than {} bytes", request_.http.url.host_port(),
                                expectation_.size.value_or(expectation_.max_size)),
                    expectation_.size ? "the registry holds a damaged blob; push the image again"
                                      : "the file is larger than this site allows");
    }
    position_ += got;
    if (position_ - progress_mark_ >= good_progress) {
        progress_mark_ = position_;
        retrier_.progressed();
    }
    return {};
}

base::Result<std::size_t> BlobStream::read(std::span<std::uint8_t> out) {
    if (out.empty()) {
        return std::size_t{0};
    }
    for (;;) {
        if (complete_) {
            return std::size_t{0};
        }
        if (discard_ == 0) {
            TRY_ASSIGN(const auto ended, at_end());
            if (ended) {
                return std::size_t{0};
            }
        }
        const auto room = discard_ == 0 ? out.size() : std::min<std::uint64_t>(out.size(), discard_);
        auto got = exchange_->read(out.first(static_cast<std::size_t>(room)));
        if (got && *got > 0) {
            if (discard_ > 0) {
                discard_ -= *got;
                continue;
            }
            TRY(count(*got));
            return *got;
        }
        if (got && discard_ == 0 && !expectation_.size) {
            complete_ = true;
            continue;
        }
        Failure failure{base::Error{Code::source_unreachable, 0,
                                    fmt::format("{} ended the blob early, after {} bytes",
                                                request_.http.url.host_port(), position_),
                                    {}},
                        true, {}, false};
        if (!got) {
            failure = failure_of_exchange(*exchange_, got.error());
        }
        TRY(retrier_.wait(std::move(failure)));
        TRY(connect());
    }
}

} // namespace slipway::prefetch::transfer
