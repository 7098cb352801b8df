// SPDX-License-Identifier: Apache-2.0
// The waiting and queueing side of the HTTP client; libcurl itself is in curl_engine.cpp.
#include "prefetch/transfer/client.hpp"

#include "base/format.hpp"
#include "prefetch/transfer/curl_engine.hpp"
#include "prefetch/transfer/transfer.hpp"

#include <algorithm>
#include <cstring>

namespace slipway::prefetch::transfer {

using base::Code;
using base::fail;

struct HttpClient::Impl {
    std::unique_ptr<CurlEngine> engine;
    std::function<bool(const std::string&)> may_resolve_later;
};

base::Result<std::shared_ptr<HttpClient>> HttpClient::create(Options options) {
    auto impl = std::make_shared<Impl>();
    impl->may_resolve_later = options.may_resolve_later;
    TRY_ASSIGN(impl->engine, CurlEngine::start(std::move(options)));
    return std::shared_ptr<HttpClient>(new HttpClient(std::move(impl)));
}

HttpClient::~HttpClient() { impl_->engine->shut_down(); }

std::unique_ptr<Exchange> HttpClient::open(HttpRequest request, std::stop_token stop) {
    auto transfer = std::make_shared<Transfer>(std::move(request));
    impl_->engine->add(transfer);
    return std::make_unique<Exchange>(impl_, std::move(transfer), std::move(stop));
}

Exchange::Exchange(std::shared_ptr<HttpClient::Impl> client, std::shared_ptr<Transfer> transfer,
                   std::stop_token stop)
    : client_(std::move(client)), transfer_(std::move(transfer)), stop_(std::move(stop)) {}

Exchange::~Exchange() { client_->engine->cancel(transfer_); }

base::Result<HttpHead> Exchange::head() {
    std::unique_lock lock(transfer_->mutex);
    const bool ready = transfer_->changed.wait(
        lock, stop_, [this] { return transfer_->have_head || transfer_->finished; });
    if (!ready) {
        return fail(Code::interrupted, "the download was cancelled");
    }
    if (transfer_->have_head) {
        return transfer_->head;
    }
    return base::Unexpected(transfer_->failure.error);
}

base::Result<std::size_t> Exchange::read(std::span<std::uint8_t> out) {
    bool unpause = false;
    std::size_t taken = 0;
    {
        std::unique_lock lock(transfer_->mutex);
        const bool ready = transfer_->changed.wait(
            lock, stop_, [this] { return transfer_->queued > 0 || transfer_->finished; });
        if (!ready) {
            return fail(Code::interrupted, "the download was cancelled");
        }
        if (transfer_->queued == 0 && transfer_->failed) {
            return base::Unexpected(transfer_->failure.error);
        }
        taken = transfer_->take(out);
        unpause = transfer_->paused && transfer_->queued <= transfer_->request.buffer_bytes / 2;
        if (unpause) {
            transfer_->paused = false;
        }
    }
    if (unpause) {
        client_->engine->unpause(transfer_);
    }
    return taken;
}

ExchangeFailure Exchange::failure() const {
    ExchangeFailure failure;
    {
        const std::lock_guard lock(transfer_->mutex);
        if (!transfer_->failed) {
            return {base::Error{Code::interrupted, 0, "the download was cancelled", {}}, false, false};
        }
        failure = transfer_->failure;
    }
    if (!failure.unresolved.empty()) {
        failure.transient = client_->may_resolve_later(failure.unresolved);
    }
    return failure;
}

} // namespace slipway::prefetch::transfer
