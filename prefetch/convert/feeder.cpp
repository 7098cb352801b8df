// SPDX-License-Identifier: Apache-2.0
#include "prefetch/convert/feeder.hpp"

#include "base/barrier.hpp"
#include "base/pipe.hpp"

#include <cerrno>
#include <csignal>
#include <exception>
#include <vector>

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

namespace slipway::prefetch::convert {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::size_t chunk_size = 256U << 10U;
constexpr int pipe_size = 1 << 20; ///< what an unprivileged user may ask for

/// A child that has closed its end is an error of write(2), not a signal that ends us all.
void block_sigpipe() noexcept {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

} // namespace

Feeder::Feeder(const image::LayerInput& layer, std::uint32_t serial, int control)
    : layer_(layer), serial_(serial), control_(control), thread_([this] { run(); }) {}

Feeder::~Feeder() {
    cancel();
    thread_.join();
}

void Feeder::cancel() noexcept {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    if (source_) {
        source_->cancel();
    }
}

Result<void> Feeder::send(const FromParent& message, int descriptor) {
    return base::send_packet(control_, encode(message),
                             std::span(&descriptor, descriptor < 0 ? 0U : 1U));
}

void Feeder::run() noexcept {
    pthread_setname_np(pthread_self(), "layer-feed");
    block_sigpipe();
    try {
        auto result = feed();
        // A child that is gone needs no answer, so nobody looks whether it was sent.
        if (result) {
            (void)send(LayerEnd{serial_});
        } else {
            (void)send(LayerFailed{serial_, std::move(result).error()});
        }
    } catch (const std::exception& error) {
        try {
            (void)send(
                LayerFailed{serial_, base::error_of(error).context("reading a layer failed")});
        } catch (const std::exception&) {
            // No memory even for that: the child sees the end of the socket.
        }
    }
    finished_ = true;
}

/// Opens the layer and hands it over; returns when all bytes are on their way.
Result<void> Feeder::feed() {
    TRY_ASSIGN(auto opened, layer_.open());
    base::ByteSource* source = opened.get();
    {
        const std::lock_guard lock(mutex_);
        if (cancelled_) {
            return fail(Code::interrupted, "the conversion was stopped");
        }
        source_ = std::move(opened); // stays, so that nobody takes the file for unused
    }
    if (auto range = source->file_range()) {
        return send(LayerBlob{serial_, false, range->offset, range->size}, range->file.get());
    }
    return pump(*source);
}

Result<void> Feeder::pump(base::ByteSource& source) {
    TRY_ASSIGN(auto pipe, base::make_pipe());
    const auto in = std::move(pipe.writer); // gone with this function: the child sees the end
    ::fcntl(in.get(), F_SETPIPE_SZ, pipe_size); // a smaller pipe is slower, not wrong
    TRY(send(LayerBlob{serial_, true, 0, layer_.blob.size}, pipe.reader.get()));
    pipe.reader.reset();
    std::vector<std::uint8_t> chunk(chunk_size);
    for (;;) {
        TRY_ASSIGN(const std::size_t got, source.read(chunk));
        if (got == 0) {
            return {};
        }
        auto sent = base::write_all(in.get(), {reinterpret_cast<const char*>(chunk.data()), got});
        if (!sent) {
            return sent.error().sys_errno == EPIPE ? Result<void>() : sent; // it wants no more
        }
    }
}

} // namespace slipway::prefetch::convert
