// SPDX-License-Identifier: Apache-2.0
#include "base/capture.hpp"

#include "base/format.hpp"
#include "base/path.hpp"
#include "base/pipe.hpp"
#include "base/text.hpp"

#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace slipway::base {
namespace {

/// Appends what comes until end of file.
Result<void> collect(int fd, std::size_t max, const Deadline& deadline, std::string& output) {
    std::array<char, 4096> buffer{};
    for (;;) {
        pollfd waiting{fd, POLLIN, 0};
        const int ready = ::poll(&waiting, 1, deadline.remaining_ms());
        if (ready < 0 && errno == EINTR) {
            continue;
        }
        if (ready == 0) {
            return fail(Code::timed_out, "it did not answer in time");
        }
        const auto got = ::read(fd, buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            ::explicit_bzero(buffer.data(), buffer.size());
            return {};
        }
        if (output.size() + static_cast<std::size_t>(got) > max) {
            return fail(Code::limit_exceeded, fmt::format("it printed more than {} bytes", max));
        }
        output.append(buffer.data(), static_cast<std::size_t>(got));
    }
}

bool names(const Child::Spawn& what, int number) {
    for (const auto& [from, to] : what.descriptors) {
        if (to == number) {
            return true;
        }
    }
    return false;
}

} // namespace

Result<Captured> capture_output(Child::Spawn what, std::size_t max, const Deadline& deadline,
                                ErrorOutput errors) {
    TRY_ASSIGN(auto pipe, make_pipe());
    TRY_ASSIGN(const auto null, open_file("/dev/null", O_RDWR));
    if (!names(what, STDIN_FILENO)) {
        what.descriptors.emplace_back(null.get(), STDIN_FILENO);
    }
    what.descriptors.emplace_back(pipe.writer.get(), STDOUT_FILENO);
    if (errors != ErrorOutput::inherit) {
        what.descriptors.emplace_back(
            errors == ErrorOutput::capture ? pipe.writer.get() : null.get(), STDERR_FILENO);
    }
    TRY_ASSIGN(auto child, Child::spawn(what)); // killed and reaped on every way out
    pipe.writer.reset();
    Captured captured;
    auto collected = [&]() -> Result<void> {
        TRY(collect(pipe.reader.get(), max, deadline, captured.output));
        TRY_ASSIGN(captured.status, child.wait_for(deadline.remaining_ms()));
        return {};
    }();
    if (!collected) {
        ::explicit_bzero(captured.output.data(), captured.output.size());
        return Unexpected(std::move(collected).error().context(in_quotes(what.program)));
    }
    return captured;
}

std::string find_in_path(std::string_view name, std::string_view search_path) {
    for (const auto directory : split(search_path, ':')) {
        if (!directory.starts_with('/')) {
            continue;
        }
        auto candidate = join_path(directory, name);
        struct stat facts {};
        if (::stat(candidate.c_str(), &facts) == 0 && S_ISREG(facts.st_mode) &&
            ::access(candidate.c_str(), X_OK) == 0) {
            return candidate;
        }
    }
    return {};
}

} // namespace slipway::base
