// SPDX-License-Identifier: Apache-2.0
#include "prefetch/convert/child/connection.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <thread>

#include <pthread.h>
#include <unistd.h>

namespace slipway::prefetch::convert {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::uint64_t report_every = 2U << 20U; ///< bytes of a layer
constexpr int lost_parent = 1;                    ///< exit codes that nobody is there to read
constexpr int no_memory = 3;

/// The last word of a process that has no memory to make one.
std::string& memory_message() {
    static std::string message;
    return message;
}
int memory_socket = -1;

} // namespace

/// Bytes of a layer; the parent learns when they are no longer needed.
class Connection::Blob : public base::ByteSource {
  public:
    Blob(Connection& connection, std::uint32_t serial, base::UniqueFd file)
        : connection_(connection), serial_(serial), file_(std::move(file)) {}
    Blob(const Blob&) = delete;
    Blob& operator=(const Blob&) = delete;
    ~Blob() override {
        file_.reset();
        connection_.send(CloseLayer{serial_});
    }

  protected:
    Connection& connection_;
    const std::uint32_t serial_;
    base::UniqueFd file_;
};

class Connection::FileBlob final : public Blob {
  public:
    FileBlob(Connection& connection, std::uint32_t serial, base::UniqueFd file,
             std::uint64_t offset, std::uint64_t size)
        : Blob(connection, serial, std::move(file)), offset_(offset), left_(size) {}

    Result<std::size_t> read(std::span<std::uint8_t> buffer) override {
        const auto most = static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), left_));
        for (;;) {
            const ssize_t got =
                ::pread(file_.get(), buffer.data(), most, static_cast<off_t>(offset_));
            if (got >= 0) {
                offset_ += static_cast<std::uint64_t>(got);
                left_ -= static_cast<std::uint64_t>(got);
                return static_cast<std::size_t>(got);
            }
            if (errno != EINTR) {
                return base::fail_errno(Code::io, errno, "cannot read a layer");
            }
        }
    }

  private:
    std::uint64_t offset_;
    std::uint64_t left_;
};

class Connection::PipeBlob final : public Blob {
  public:
    using Blob::Blob;

    Result<std::size_t> read(std::span<std::uint8_t> buffer) override {
        for (;;) {
            const ssize_t got = ::read(file_.get(), buffer.data(), buffer.size());
            if (got > 0) {
                return static_cast<std::size_t>(got);
            }
            if (got == 0) {
                // The pipe's end alone does not say whether that was all.
                if (!ended_) {
                    TRY(connection_.wait_for_end(serial_));
                    ended_ = true;
                }
                return std::size_t{0};
            }
            if (errno != EINTR) {
                return base::fail_errno(Code::io, errno, "cannot read a layer");
            }
        }
    }

  private:
    bool ended_ = false;
};

Connection::Connection(int socket) : socket_(socket) {
    memory_message() = encode(FromChild{
        Failed{{Code::limit_exceeded, 0, "the image needs more memory than one conversion may have",
                "raise convert.memory if you trust the image"}}});
    memory_socket = socket;
}

void Connection::start() {
    std::thread([this] { listen(); }).detach();
}

void Connection::out_of_memory() noexcept {
    // Whatever state the other threads are in: this call and the end need none of it.
    (void)!::write(memory_socket, memory_message().data(), memory_message().size());
    ::_exit(no_memory);
}

void Connection::listen() noexcept {
    pthread_setname_np(pthread_self(), "control");
    try {
        for (;;) {
            receive();
        }
    } catch (const std::exception&) {
        ::_exit(lost_parent);
    }
}

/// One packet of the parent, kept for whoever waits for it.
void Connection::receive() {
    auto packet = base::recv_packet(socket_, max_message);
    if (!packet || packet->end_of_stream) {
        ::_exit(lost_parent);
    }
    auto message = decode_from_parent(packet->body);
    if (!message) {
        ::_exit(lost_parent);
    }
    Answer fresh{std::move(*message), {}};
    if (packet->fds.size() == 1) {
        fresh.descriptor = std::move(packet->fds.front());
    }
    const auto serial = std::visit([](const auto& what) { return what.serial; }, fresh.message);
    {
        const std::lock_guard lock(mutex_);
        answers_.emplace(serial, std::move(fresh));
    }
    came_.notify_all();
}

FromParent Connection::answer(std::uint32_t serial, base::UniqueFd* descriptor) {
    std::unique_lock lock(mutex_);
    auto found = answers_.end();
    came_.wait(lock, [&] { return (found = answers_.find(serial)) != answers_.end(); });
    FromParent message = std::move(found->second.message);
    if (descriptor != nullptr) {
        *descriptor = std::move(found->second.descriptor);
    }
    answers_.erase(found);
    return message;
}

Result<std::unique_ptr<base::ByteSource>> Connection::open(std::uint32_t layer) {
    std::uint32_t serial = 0;
    {
        // The parent wants the numbers in order.
        const std::lock_guard lock(mutex_);
        serial = next_serial_++;
        send(OpenLayer{serial, layer});
    }
    base::UniqueFd file;
    FromParent said = answer(serial, &file);
    if (auto* failed = std::get_if<LayerFailed>(&said)) {
        send(CloseLayer{serial});
        return tl::unexpected(std::move(failed->error));
    }
    const auto* blob = std::get_if<LayerBlob>(&said);
    if (blob == nullptr || !file) {
        return fail(Code::internal, "a layer came without its bytes");
    }
    if (blob->pipe) {
        return std::make_unique<PipeBlob>(*this, serial, std::move(file));
    }
    return std::make_unique<FileBlob>(*this, serial, std::move(file), blob->offset, blob->size);
}

Result<void> Connection::wait_for_end(std::uint32_t serial) {
    FromParent said = answer(serial, nullptr);
    if (auto* failed = std::get_if<LayerFailed>(&said)) {
        return tl::unexpected(std::move(failed->error));
    }
    return {};
}

void Connection::send(const FromChild& message) noexcept {
    const std::string packet = encode(message);
    while (::write(socket_, packet.data(), packet.size()) < 0 && errno == EINTR) {
    }
}

void ProgressReporter::layer_bytes(std::size_t layer, std::uint64_t bytes) noexcept {
    if ((unsent_[layer] += bytes) >= report_every) {
        flush(layer);
    }
}

void ProgressReporter::phase(ConvertPhase phase) noexcept {
    for (std::size_t layer = 0; layer < unsent_.size(); ++layer) {
        flush(layer);
    }
    connection_.send(PhaseChange{phase});
}

void ProgressReporter::flush(std::size_t layer) noexcept {
    if (const std::uint64_t bytes = unsent_[layer].exchange(0); bytes > 0) {
        connection_.send(LayerBytes{static_cast<std::uint32_t>(layer), bytes});
    }
}

} // namespace slipway::prefetch::convert
