// SPDX-License-Identifier: Apache-2.0
#include "base/child.hpp"
#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "prefetch/credentials/docker_config.hpp"
#include "prefetch/credentials/finder.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cerrno>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

namespace slipway::prefetch::credentials {
namespace {

using base::Code;
using base::fail;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds helper_time{30};
constexpr std::size_t max_answer = 64 * 1024;

bool plain_name(const std::string& name) {
    return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
               c == '_' || c == '.';
    });
}

/// Absolute path of a program in PATH; "" when there is none. Relative PATH entries do not count.
std::string find_program(const std::string& name, const base::Environment& environment) {
    const auto path = environment("PATH");
    for (const auto directory : base::split(path, ':')) {
        if (directory.empty() || directory.front() != '/') {
            continue;
        }
        auto candidate = base::join_path(directory, name);
        if (::access(candidate.c_str(), X_OK) == 0) {
            return candidate;
        }
    }
    return {};
}

std::vector<std::string> own_environment() {
    std::vector<std::string> copy;
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
        copy.emplace_back(*entry);
    }
    return copy;
}

/// Everything the helper prints before the deadline.
base::Result<std::string> read_answer(int fd, Clock::time_point deadline) {
    std::string answer;
    std::array<char, 4096> buffer{};
    for (;;) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
        pollfd waiting{fd, POLLIN, 0};
        const int ready = left <= 0 ? 0 : ::poll(&waiting, 1, static_cast<int>(left));
        if (ready < 0 && errno == EINTR) {
            continue;
        }
        if (ready <= 0) {
            base::wipe(answer);
            return fail(Code::timed_out, "the credential helper does not answer");
        }
        const auto got = ::read(fd, buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0 || answer.size() + static_cast<std::size_t>(got) > max_answer) {
            ::explicit_bzero(buffer.data(), buffer.size());
            return answer;
        }
        answer.append(buffer.data(), static_cast<std::size_t>(got));
    }
}

struct HelperResult {
    std::string output;
    int exit_code = 0;
};

base::Result<HelperResult> run_helper(const std::string& program, const std::string& server) {
    const auto deadline = Clock::now() + helper_time;
    TRY_ASSIGN(auto input, base::sealed_memfd("server", server + "\n"));
    TRY_ASSIGN(auto nothing, base::open_file("/dev/null", O_WRONLY));
    std::array<int, 2> ends{-1, -1};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        return base::fail_errno(Code::system, errno, "cannot make a pipe");
    }
    base::UniqueFd read_end(ends[0]);
    base::UniqueFd write_end(ends[1]);
    base::Child::Spawn spawn;
    spawn.program = program;
    spawn.arguments = {program, "get"};
    spawn.environment = own_environment();
    spawn.descriptors = {{input.get(), 0}, {write_end.get(), 1}, {nothing.get(), 2}};
    TRY_ASSIGN(auto child, base::Child::spawn(spawn));
    write_end.reset();
    HelperResult result;
    TRY_ASSIGN(result.output, read_answer(read_end.get(), deadline));
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    TRY_ASSIGN(const int status, child.wait_for(static_cast<int>(std::max<long long>(left, 0))));
    result.exit_code = base::exit_code_of(status);
    return result;
}

} // namespace

base::Result<std::optional<Credential>> ask_helper(const std::string& name,
                                                   const std::string& server,
                                                   const base::Environment& environment) {
    if (!plain_name(name)) {
        return fail(Code::credentials_invalid,
                    fmt::format("{} is not the name of a credential helper", base::in_quotes(name)),
                    "correct credHelpers or credsStore in the auth file");
    }
    const auto program = find_program("docker-credential-" + name, environment);
    if (program.empty()) {
        return fail(Code::credentials_invalid,
                    fmt::format("the credential helper docker-credential-{} is not in PATH", name),
                    "install it, or remove it from credHelpers or credsStore in the auth file");
    }
    auto result = run_helper(program, server);
    if (!result) {
        return base::Unexpected(std::move(result).error().context(
            fmt::format("credential helper {}", base::in_quotes(program))));
    }
    const base::WipeAtEnd wiping(result->output);
    if (result->exit_code != 0) {
        if (result->output.find("not found") != std::string::npos) {
            return std::optional<Credential>();
        }
        // An answer beside a failure may hold the secret: only plain words are repeated.
        const bool words = result->output.find('{') == std::string::npos;
        return fail(Code::credentials_invalid,
                    fmt::format("the credential helper {} failed with exit code {}: {}",
                                base::in_quotes(program), result->exit_code,
                                base::in_quotes(words ? base::trim(result->output) : "")),
                    "run it by hand, or log in again");
    }
    TRY_ASSIGN(auto credential, parse_helper_answer(result->output));
    return std::optional<Credential>(std::move(credential));
}

} // namespace slipway::prefetch::credentials
