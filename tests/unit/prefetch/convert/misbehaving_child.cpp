// SPDX-License-Identifier: Apache-2.0
// A conversion that is nobody's friend: what the parent must bear. The request's definition text says
// what to do.
#include "base/fd.hpp"
#include "prefetch/convert/protocol.hpp"

#include <csignal>
#include <cstdlib>
#include <string>

#include <poll.h>
#include <unistd.h>

using namespace slipway;
using namespace slipway::prefetch::convert;

namespace {

void say(std::string_view bytes) {
    (void)!::write(control_fd, bytes.data(), bytes.size());
}
void say(const FromChild& message) {
    say(encode(message));
}

[[noreturn]] void linger() {
    for (;;) {
        ::pause();
    }
}

void misbehave(const std::string& how) {
    ConvertReport report;
    if (how == "crash") {
        ::raise(SIGSEGV);
    } else if (how == "killed") {
        ::raise(SIGKILL);
    } else if (how == "slow") {
        ::raise(SIGXCPU);
    } else if (how == "quiet") {
        ::_exit(0);
    } else if (how == "garbage") {
        say(std::string(1000, '\xff'));
        linger();
    } else if (how == "long") {
        say(std::string(100'000, 'x'));
        linger();
    } else if (how == "open-unknown") {
        say(OpenLayer{0, 7});
        linger();
    } else if (how == "open-many") {
        for (std::uint32_t i = 0; i < 1000; ++i) {
            say(OpenLayer{i, 0});
        }
        linger();
    } else if (how == "open-same") {
        say(OpenLayer{0, 0});
        say(OpenLayer{0, 0});
        linger();
    } else if (how == "close-many") {
        for (std::uint32_t i = 0; i < 1000; ++i) {
            say(CloseLayer{i});
        }
        linger();
    } else if (how == "bytes-unknown") {
        say(LayerBytes{1000, 1});
        linger();
    } else if (how == "lie") {
        report.image_bytes = 4096;
        say(Done{report});
    } else if (how == "lie-and-linger") {
        (void)!::write(file_fd, "x", 1);
        report.image_bytes = 1;
        ::close(control_fd);
        linger();
    } else if (how == "unread") {
        say(OpenLayer{0, 0}); // the pipe fills up
        linger();
    } else if (how == "last-word") {
        say(OpenLayer{0, 0});
        pollfd answer{control_fd, POLLIN, 0};
        (void)::poll(&answer, 1, -1); // there, and never read: the parent's next read is a reset
        say(Failed{{base::Code::layer_invalid, 0, "as said", {}}});
        ::_exit(0);
    } else if (how == "descriptors") {
        const int fds[] = {file_fd, request_fd};
        (void)base::send_packet(control_fd, encode(FromChild(PhaseChange{})), fds);
        report.image_bytes = 0;
        say(Failed{{base::Code::layer_invalid, 0, "as said", "and hinted"}});
    }
}

} // namespace

int main() {
    const auto bytes = base::read_to_end(request_fd, max_order);
    const auto order = bytes ? decode_order(*bytes) : base::Result<Order>(tl::unexpected(bytes.error()));
    if (order && std::holds_alternative<Request>(*order)) {
        misbehave(std::get<Request>(*order).native.deffile);
    } else if (order) {
        misbehave(std::get<FinishedCheck>(*order).name);
    }
    return 9;
}
