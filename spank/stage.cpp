// SPDX-License-Identifier: Apache-2.0
#include "base/argv.hpp"
#include "base/child.hpp"
#include "base/format.hpp"
#include "base/pipe.hpp"
#include "base/text.hpp"
#include "spank/options.hpp"
#include "spank/surroundings.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

namespace slipway::spank {
namespace {

using base::Code;
using base::Result;

constexpr std::size_t max_answer = 16384;
constexpr int exit_not_run = 127;
constexpr int look_ms = 100; ///< how late a signal that srun holds back may be noticed

base::Unexpected bad_answer() {
    return base::fail(Code::not_staged, "the staging client gave an answer that makes no sense",
                      "install plugin and staging client from the same release");
}

base::Unexpected cannot_run(int err, const std::string& program, const std::string& reference) {
    const auto what = "cannot get the image " + base::in_quotes(reference) + ": ";
    if (err == ENOENT) {
        return base::fail(Code::not_staged, what + "there is no " + base::in_quotes(program),
                          "give the path of an image file instead, beginning with / or ./");
    }
    return base::fail_errno(Code::not_staged, err, what + "cannot run " + base::in_quotes(program),
                            "ask the administrator to reinstall Slipway");
}

base::Unexpected interrupted(const std::string& reference) {
    return base::fail(Code::interrupted,
                      "interrupted while getting the image " + base::in_quotes(reference));
}

constexpr int ending_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

/// Everything the child needs, made before the fork.
struct ClientCall {
    const char* program;
    char* const* argv;
    int output;      ///< its standard output
    int exec_failed; ///< gets execv's errno; closes by itself when that succeeds
    pid_t parent;
};

/// In the child: system calls only.
int exec_client(const ClientCall& call) noexcept {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    // Where srun was started with closed streams the pipes have got their numbers: dup2() onto
    // itself would leave them close-on-exec, and one onto the other would overwrite that.
    const int output = ::fcntl(call.output, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    const int exec_failed = ::fcntl(call.exec_failed, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    const int null = ::open("/dev/null", O_RDONLY);
    // A parent that died before the first line is not noticed by it.
    if (::getppid() != call.parent || output < 0 || exec_failed < 0 || null < 0 ||
        ::dup2(null, STDIN_FILENO) < 0 || ::dup2(output, STDOUT_FILENO) < 0) {
        return exit_not_run;
    }
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::execv(call.program, call.argv);
    const int err = errno;
    (void)!::write(exec_failed, &err, sizeof err);
    return exit_not_run;
}

/// errno of the execv at the other end, 0 when it succeeded.
int exec_error(int reader) noexcept {
    int err = 0;
    ssize_t got = 0;
    do {
        got = ::read(reader, &err, sizeof err);
    } while (got < 0 && errno == EINTR);
    return got == sizeof err ? err : 0;
}

/// srun blocks these while plugins run, so they only wait to be seen. (A signal that is ignored, as
/// under nohup, waits there as well and means nothing.)
bool stop_requested() noexcept {
    sigset_t pending;
    sigemptyset(&pending);
    ::sigpending(&pending);
    for (const int signal : ending_signals) {
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
        if (stop_requested()) {
            return false;
        }
    }
    return true;
}

/// What a client's end means that gave no answer.
base::Unexpected failed_client(int status, const std::string& program,
                               const std::string& reference) {
    if (!WIFSIGNALED(status)) {
        // Only the loader of libraries ends programs with this code, after some lines of its own.
        if (base::exit_code_of(status) == exit_not_run) {
            return base::fail(Code::not_staged,
                              "cannot get the image " + base::in_quotes(reference) + ": " +
                                  base::in_quotes(program) + " cannot start (exit code 127)",
                              "unset LD_LIBRARY_PATH and LD_PRELOAD, or ask the administrator to "
                              "reinstall Slipway");
        }
        // The client has said on stderr what went wrong; an empty message adds nothing to that.
        return base::fail(Code::not_staged, "");
    }
    const auto* end = std::end(ending_signals);
    if (std::find(std::begin(ending_signals), end, WTERMSIG(status)) != end) {
        return interrupted(reference); // the terminal's signal came to it as well
    }
    return base::fail(Code::not_staged,
                      fmt::format("the staging client was killed by signal {}", WTERMSIG(status)),
                      "the system log may say more (out of memory?)");
}

} // namespace

Result<Staged> parse_stage_answer(std::string_view text) {
    Staged staged;
    const std::pair<std::string_view, std::string*> keys[] = {
        {"id", &staged.image_id}, {"store", &staged.store}, {"pinned", &staged.pinned}};
    for (const auto line : base::split(text, '\n')) {
        if (line.empty()) {
            continue;
        }
        const auto equals = line.find('=');
        const auto* key = std::find_if(std::begin(keys), std::end(keys), [&](const auto& known) {
            return known.first == line.substr(0, equals);
        });
        if (equals == std::string_view::npos || key == std::end(keys) || !key->second->empty()) {
            return bad_answer();
        }
        *key->second = line.substr(equals + 1);
    }
    Options pinned;
    pinned.take(OptionId::image, std::string_view(staged.pinned));
    const bool located = launcher::join::is_image_id(staged.image_id) &&
                         (staged.store.empty() || check_image_path(staged.store));
    if (!located || !pinned.settings()) {
        return bad_answer();
    }
    return staged;
}

Result<Staged> run_stage_client(const std::string& program, const std::string& config,
                                const std::string& reference, Staging how) {
    std::vector<std::string> words{stage_client};
    if (!config.empty()) {
        words.insert(words.end(), {"--config", config});
    }
    if (how == Staging::begin) {
        words.emplace_back("--detach");
    }
    words.push_back(reference);
    const auto argv = base::argv_pointers(words);
    TRY_ASSIGN(auto output, base::make_pipe());
    TRY_ASSIGN(auto exec, base::make_pipe());
    const ClientCall call{program.c_str(), argv.data(), output.writer.get(), exec.writer.get(),
                          ::getpid()};
    TRY_ASSIGN(auto child, base::Child::fork([&] { return exec_client(call); }));
    output.writer.reset();
    exec.writer.reset();
    if (const int err = exec_error(exec.reader.get())) {
        TRY(child.wait());
        return cannot_run(err, program, reference);
    }
    if (!wait_for_answer(output.reader.get())) {
        child.signal(SIGTERM);
        TRY(child.wait()); // it takes back what it has begun
        return interrupted(reference);
    }
    auto answer = base::read_to_end(output.reader.get(), max_answer);
    if (!answer) {
        child.signal(SIGTERM);
        return bad_answer();
    }
    TRY_ASSIGN(const int status, child.wait());
    if (status != 0) {
        return failed_client(status, program, reference);
    }
    return parse_stage_answer(*answer);
}

} // namespace slipway::spank
