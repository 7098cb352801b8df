// SPDX-License-Identifier: Apache-2.0
#include "prefetch/convert/isolated.hpp"

#include "base/barrier.hpp"
#include "base/child.hpp"
#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/helper_program.hpp"
#include "base/log.hpp"
#include "prefetch/convert/feeder.hpp"
#include "prefetch/convert/protocol.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <list>
#include <optional>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace slipway::prefetch::convert {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::size_t most_open_layers = 16; ///< at once; the converter opens 5
constexpr int leave_time_ms = 10'000;        ///< for the child to end after its last message

Request request_of(const ConvertInput& input, const ConvertOptions& options) {
    Request request;
    request.options = options;
    request.options.stop = {};
    for (const auto& layer : input.layers) {
        request.layers.push_back({layer.blob, layer.diff_id});
    }
    request.native = input.native;
    return request;
}

/// What became of a child that ended without saying why.
base::Error died(int status) {
    const std::string_view hint_crash = "the image may be damaged or hostile; please report it";
    if (!WIFSIGNALED(status)) {
        return {Code::internal, 0,
                fmt::format("the conversion ended without a result (exit code {})",
                            WEXITSTATUS(status)),
                std::string(hint_crash)};
    }
    const int number = WTERMSIG(status);
    const char* name = ::sigabbrev_np(number);
    const auto text = fmt::format("signal {} (SIG{})", number, name != nullptr ? name : "?");
    if (number == SIGXCPU) {
        return {Code::limit_exceeded, 0, "the conversion took too much processor time",
                "this looks like a hostile image"};
    }
    if (number == SIGKILL || number == SIGTERM) {
        return {Code::system, 0, "the conversion was killed by " + text,
                "the machine or the memory limit of the service may be short of memory; a smaller "
                "convert.memory may help"};
    }
    return {Code::internal, 0, "the conversion ended by " + text, std::string(hint_crash)};
}

/// One conversion or check, from the start of its process to its end.
class Parent {
  public:
    Parent(const std::vector<image::LayerInput>& layers, std::stop_token stop, ProgressSink& progress)
        : layers_(layers), stop_(std::move(stop)), progress_(progress) {}
    Parent(const Parent&) = delete;
    Parent& operator=(const Parent&) = delete;
    ~Parent() { child_.signal(SIGKILL); } // feeders wait for it to read

    Result<ConvertReport> run(const std::string& program, const Order& order, int fd) {
        TRY(start(program, order, fd));
        // SIGKILL leaves nothing to clean up but the output, which the caller empties.
        const std::stop_callback on_stop(stop_, [this] { child_.signal(SIGKILL); });
        auto served = serve();
        if (!served) {
            child_.signal(SIGKILL);
        }
        auto result = finish();
        return served ? std::move(result) : tl::unexpected(std::move(served).error());
    }

  private:
    Result<void> start(const std::string& program, const Order& order, int fd) {
        TRY_ASSIGN(auto ends, base::packet_pair());
        TRY_ASSIGN(const auto sealed, base::sealed_memfd("slipway-conversion", encode(order)));
        TRY_ASSIGN(const auto null, base::open_file("/dev/null", O_RDWR));
        base::Child::Spawn spawn;
        spawn.program = program;
        spawn.arguments = {std::string(child_program_name)};
        spawn.descriptors = {{null.get(), STDIN_FILENO},
                             {null.get(), STDOUT_FILENO},
                             {null.get(), STDERR_FILENO},
                             {ends.second.get(), control_fd},
                             {fd, file_fd},
                             {sealed.get(), request_fd}};
        TRY_ASSIGN(child_, base::Child::spawn(spawn));
        control_ = std::move(ends.first);
        return {};
    }

    /// Until the child has said its last word, or is gone.
    Result<void> serve() {
        while (!last_) {
            auto packet = base::recv_packet(control_.get(), max_message);
            if (packet && packet->end_of_stream) {
                return {};
            }
            // It ended with something of ours unread (a layer that it did not need any more). The kernel
            // says so once, before the packets that it sent earlier: its last word may be among them.
            if (!packet && packet.error().sys_errno == ECONNRESET) {
                continue;
            }
            if (!packet) {
                return tl::unexpected(std::move(packet).error());
            }
            // What the kernel handed over with a packet is closed with it: the child may send none.
            TRY_ASSIGN(auto message, decode_from_child(packet->body));
            TRY(std::visit([&](auto& what) { return take(what); }, message));
        }
        return {};
    }

    Result<void> take(OpenLayer& open) {
        forget_finished();
        // Each layer at most twice; numbers in order, so that no two are the same.
        if (open.layer >= layers_.size() || open.serial != opened_ ||
            opened_ >= 2 * layers_.size() || feeders_.size() >= most_open_layers) {
            return fail(Code::internal, "the conversion asked for layers that it must not have");
        }
        ++opened_;
        feeders_.emplace_back(layers_[open.layer], open.serial, control_.get());
        return {};
    }
    Result<void> take(CloseLayer& close) {
        for (auto& feeder : feeders_) {
            if (feeder.serial() == close.serial) {
                feeder.cancel();
            }
        }
        closed_.push_back(close.serial);
        if (closed_.size() > 2 * layers_.size()) {
            return fail(Code::internal, "the conversion closed more layers than it opened");
        }
        return {};
    }
    Result<void> take(LayerBytes& more) {
        if (more.layer >= layers_.size()) {
            return fail(Code::internal, "the conversion read a layer that does not exist");
        }
        progress_.layer_bytes(more.layer, more.bytes);
        return {};
    }
    Result<void> take(PhaseChange& change) {
        progress_.phase(change.phase);
        return {};
    }
    Result<void> take(Done& done) {
        last_ = std::move(done.report);
        return {};
    }
    Result<void> take(Failed& failed) {
        last_ = tl::unexpected(std::move(failed.error));
        return {};
    }

    /// Feeders whose layer the child has closed and whose thread is through.
    void forget_finished() {
        feeders_.remove_if([&](const Feeder& feeder) {
            return feeder.finished() &&
                   std::find(closed_.begin(), closed_.end(), feeder.serial()) != closed_.end();
        });
    }

    /// The child must be gone before its output is believed: until then it could still write.
    Result<ConvertReport> finish() {
        auto status = child_.wait_for(leave_time_ms);
        if (!status) {
            child_.signal(SIGKILL);
            status = child_.wait();
        }
        if (stop_.stop_requested()) {
            return fail(Code::interrupted, "the conversion was stopped");
        }
        if (last_ && *last_) {
            return std::move(*last_);
        }
        if (last_) {
            return tl::unexpected(std::move(*last_).error());
        }
        TRY_ASSIGN(const int how, std::move(status));
        return tl::unexpected(died(how));
    }

    const std::vector<image::LayerInput>& layers_;
    std::stop_token stop_;
    ProgressSink& progress_;
    base::UniqueFd control_;
    base::Child child_;
    std::list<Feeder> feeders_;
    std::vector<std::uint32_t> closed_;
    std::size_t opened_ = 0;
    std::optional<Result<ConvertReport>> last_;
};

/// The child says how long the image is; what it wrote is what counts.
Result<void> check_output(int out_fd, std::uint64_t said) {
    struct stat info {};
    if (::fstat(out_fd, &info) != 0) {
        return base::fail_errno(Code::io, errno, "cannot look at the new image");
    }
    if (static_cast<std::uint64_t>(info.st_size) != said) {
        return fail(Code::internal,
                    fmt::format("the conversion wrote {} bytes and reports {}", info.st_size, said));
    }
    return {};
}

Result<ConvertReport> checked(const ConvertInput& input, const ConvertOptions& options, int out_fd,
                              ProgressSink& progress, const std::string& program) {
    TRY_ASSIGN(auto report, Parent(input.layers, options.stop, progress)
                                .run(program, request_of(input, options), out_fd));
    TRY(check_output(out_fd, report.image_bytes));
    if (options.digest_output) {
        TRY_ASSIGN(report.output, image::sha256_of_file(out_fd, 0, report.image_bytes));
    }
    return report;
}

/// Threads and memory may be refused here, too: that ends this conversion only.
template <typename Work> auto guarded(Work work) -> decltype(work()) {
    try {
        return work();
    } catch (const std::exception& error) {
        return base::Unexpected(base::error_of(error).context("cannot run a conversion"));
    }
}

Result<std::string> program_or_installed(const std::string& program) {
    return program.empty() ? base::find_helper_program(child_program_name) : program;
}

} // namespace

Result<ConvertReport> convert_isolated(const ConvertInput& input, const ConvertOptions& options,
                                       int out_fd, ProgressSink& progress,
                                       const std::string& program) {
    TRY_ASSIGN(const auto path, program_or_installed(program));
    auto report = guarded([&] { return checked(input, options, out_fd, progress, path); });
    if (!report && ::ftruncate(out_fd, 0) != 0) {
        // What is there has no header yet, or is not known to be an image: nobody publishes it.
        base::log(base::LogLevel::warning, "the output of a failed conversion could not be emptied");
    }
    return report;
}

Result<void> check_isolated(int fd, const FinishedCheck& check, std::stop_token stop,
                            const std::string& program) {
    TRY_ASSIGN(const auto path, program_or_installed(program));
    return guarded([&]() -> Result<void> {
        ProgressSink nobody;
        TRY(Parent({}, std::move(stop), nobody).run(path, check, fd));
        return {};
    });
}

} // namespace slipway::prefetch::convert
