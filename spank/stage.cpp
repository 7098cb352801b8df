// SPDX-License-Identifier: Apache-2.0
#include "base/argv.hpp"
#include "base/child.hpp"
#include "base/text.hpp"
#include "spank/options.hpp"
#include "spank/surroundings.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace slipway::spank {
namespace {

using base::Code;
using base::Result;
using base::UniqueFd;

constexpr std::size_t max_answer = 16384;
constexpr int exit_not_run = 127;
constexpr int look_ms = 100; ///< how late a signal that srun holds back may be noticed

base::Unexpected bad_answer() {
    return base::fail(Code::not_staged, "the staging client gave an answer that makes no sense",
                      "install plugin and staging client from the same release");
}

base::Unexpected no_client(const std::string& program, const std::string& reference) {
    return base::fail(Code::not_staged,
                      "cannot get the image " + base::in_quotes(reference) + ": there is no " +
                          base::in_quotes(program),
                      "give the path of an image file instead, beginning with / or ./");
}

/// In the child: system calls only.
int exec_client(const char* program, char* const* argv, int output) noexcept {
    // Set after the fork, so a parent that died before would be missed: it then has another pid.
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    const int null = ::open("/dev/null", O_RDONLY);
    if (null < 0 || ::dup2(null, STDIN_FILENO) < 0 || ::dup2(output, STDOUT_FILENO) < 0) {
        return exit_not_run;
    }
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::execv(program, argv);
    return exit_not_run;
}

/// srun blocks these while plugins run, so they only wait to be seen. (A signal that is ignored, as
/// under nohup, waits there as well and means nothing.)
bool told_to_stop() noexcept {
    sigset_t pending;
    sigemptyset(&pending);
    ::sigpending(&pending);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
        struct sigaction action {};
        if (sigismember(&pending, signal) == 1 && ::sigaction(signal, nullptr, &action) == 0 &&
            action.sa_handler != SIG_IGN) {
            return true;
        }
    }
    return false;
}

/// True when the client has begun to answer or has ended; false when the user wants an end first.
bool wait_for_answer(int reader) noexcept {
    pollfd answer{reader, POLLIN, 0};
    while (::poll(&answer, 1, look_ms) <= 0) {
        if (told_to_stop()) {
            return false;
        }
    }
    return true;
}

} // namespace

Result<Staged> parse_stage_answer(std::string_view text) {
    Staged staged;
    for (const auto line : base::split(text, '\n')) {
        if (line.empty()) {
            continue;
        }
        const auto equals = line.find('=');
        if (equals == std::string_view::npos) {
            return bad_answer();
        }
        const auto key = line.substr(0, equals);
        auto& target = key == "path" ? staged.path : staged.pinned;
        if ((key != "path" && key != "pinned") || !target.empty()) {
            return bad_answer();
        }
        target = line.substr(equals + 1);
    }
    Options pinned;
    pinned.take(OptionId::image, std::string_view(staged.pinned));
    if (!check_image_path(staged.path) || !pinned.settings()) {
        return bad_answer();
    }
    return staged;
}

Result<Staged> run_stage_client(const std::string& program, const std::string& config,
                                const std::string& reference, Staging how) {
    if (::access(program.c_str(), X_OK) != 0) {
        return no_client(program, reference);
    }
    int ends[2] = {-1, -1};
    if (::pipe2(ends, O_CLOEXEC) != 0) {
        return base::fail_errno(Code::system, errno, "cannot make a pipe");
    }
    const UniqueFd reader(ends[0]);
    UniqueFd writer(ends[1]);
    std::vector<std::string> words{stage_client};
    if (!config.empty()) {
        words.insert(words.end(), {"--config", config});
    }
    if (how == Staging::begin) {
        words.emplace_back("--detach");
    }
    words.push_back(reference);
    const auto argv = base::argv_pointers(words);
    TRY_ASSIGN(auto child, base::Child::fork([&] {
                   return exec_client(program.c_str(), argv.data(), writer.get());
               }));
    writer.reset();
    if (!wait_for_answer(reader.get())) {
        child.signal(SIGTERM);
        TRY(child.wait()); // it takes back what it has begun
        return base::fail(Code::interrupted, "");
    }
    auto answer = base::read_to_end(reader.get(), max_answer);
    if (!answer) {
        child.signal(SIGTERM);
        return bad_answer();
    }
    TRY_ASSIGN(const int status, child.wait());
    const int code = base::exit_code_of(status);
    if (code == exit_not_run) {
        return no_client(program, reference);
    }
    if (code != 0) {
        // The client has said on stderr what went wrong; an empty message adds nothing to that.
        return base::fail(Code::not_staged,
                          WIFSIGNALED(status) ? "the staging client was killed" : "");
    }
    return parse_stage_answer(*answer);
}

} // namespace slipway::spank
