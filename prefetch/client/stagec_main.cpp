// SPDX-License-Identifier: Apache-2.0
// slipway-stagec [--config FILE] [--detach] REFERENCE: what the Slurm plugin runs for an image that
// is no file. Asks the service; where there is none, or the image needs the user's own credentials,
// becomes `slipway-images stage`, which does the work in the user's own process. Prints "id=…" (an image of
// the site's store) or "path=…", and "pinned=…" on stdout, progress and errors on stderr. With --detach that
// is as soon as it is known what the image will be; the work goes on without this program. Links no network library: it runs in front of
// every srun of a job.
#include "base/argv.hpp"
#include "base/child.hpp"
#include "base/format.hpp"
#include "base/helper_program.hpp"
#include "base/inherited_state.hpp"
#include "base/pipe.hpp"
#include "base/text.hpp"
#include "config/config.hpp"
#include "prefetch/client/service_client.hpp"
#include "prefetch/stage/progress_printer.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

namespace {

using namespace slipway;

struct Arguments {
    std::string config;
    std::string reference;
    bool detach = false;
};

void print_error(const base::Error& error) {
    const auto line = "slipway: error: " + error.one_line() + "\n";
    (void)base::write_all(STDERR_FILENO, line);
}

base::Result<Arguments> parse(int argc, char** argv) {
    Arguments arguments;
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        if (word == "--detach") {
            arguments.detach = true;
        } else if (word == "--config" && i + 1 < argc) {
            arguments.config = argv[++i];
        } else if (arguments.reference.empty() && !word.starts_with("--")) {
            arguments.reference = word;
        } else {
            return base::fail(base::Code::usage, "unexpected argument " + base::in_quotes(word));
        }
    }
    if (arguments.reference.empty()) {
        return base::fail(base::Code::usage, "no image was named");
    }
    return arguments;
}

/// Path of the socket, "" when the site has none.
std::string socket_of(const config::Config& config) {
    constexpr std::string_view scheme = "unix:";
    for (const auto& address : config.service.listen) {
        if (address.starts_with(scheme)) {
            return address.substr(scheme.size());
        }
    }
    return {};
}

/// Becomes `slipway-images stage`; returns only when that cannot be run.
int become_stage(const Arguments& arguments) {
    const auto program = base::find_helper_program("slipway-images");
    if (!program) {
        print_error(program.error());
        return static_cast<int>(base::ExitCode::setup);
    }
    std::vector<std::string> words{"slipway-images", "stage",
                                   arguments.detach ? "--detach" : "--print-keys"};
    if (!arguments.config.empty()) {
        words.insert(words.end(), {"--config", arguments.config});
    }
    words.insert(words.end(), {"--", arguments.reference});
    ::execv(program->c_str(), base::argv_pointers(words).data());
    print_error({base::Code::not_staged, errno,
                 "cannot run " + base::in_quotes(*program) + ": " + base::errno_text(errno),
                 "reinstall Slipway: a part of it is missing"});
    return static_cast<int>(base::ExitCode::setup);
}

/// The same as a child, which closes its output when it has printed what the image will be, and goes on by
/// itself. When it ends before that, it has reported why.
int begin_stage(const Arguments& arguments) {
    auto pipe = base::make_pipe();
    if (!pipe) {
        print_error(pipe.error());
        return static_cast<int>(base::ExitCode::setup);
    }
    const pid_t parent = ::getpid();
    auto child = base::Child::fork([&] {
        // Until it goes on by itself, it ends with this program.
        if (::prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || ::getppid() != parent ||
            ::dup2(pipe->writer.get(), STDOUT_FILENO) < 0) {
            return static_cast<int>(base::ExitCode::setup);
        }
        return become_stage(arguments);
    });
    if (!child) {
        print_error(child.error());
        return static_cast<int>(base::ExitCode::setup);
    }
    pipe->writer.reset();
    constexpr std::size_t max_keys = 16384;
    const auto keys = base::read_to_end(pipe->reader.get(), max_keys);
    if (keys && !keys->empty()) {
        (void)base::write_all(STDOUT_FILENO, *keys);
        (void)child->detach();
        return 0;
    }
    const auto status = child->wait();
    const int code = status ? base::exit_code_of(*status) : 0;
    return code != 0 ? code : static_cast<int>(base::ExitCode::setup);
}

int stage_here(const Arguments& arguments) {
    return arguments.detach ? begin_stage(arguments) : become_stage(arguments);
}

int stage(const Arguments& arguments) {
    const auto config = config::load(config::Reader::user, arguments.config);
    if (!config) {
        print_error(config.error());
        return static_cast<int>(base::exit_code_for(config.error().code));
    }
    prefetch::client::ServiceCall call;
    call.socket_path = socket_of(*config);
    call.store_path = config->store.path;
    call.request.reference = arguments.reference;
    call.detach = arguments.detach;
    if (call.socket_path.empty()) {
        return stage_here(arguments);
    }
    prefetch::stage::ProgressPrinter printer(STDERR_FILENO, prefetch::stage::style_for(STDERR_FILENO),
                                      arguments.reference);
    const auto image = prefetch::client::stage_through_service(
        call, [&](const prefetch::stage::StageProgress& progress) { printer.show(progress); },
        {}); // Ctrl-C ends this process, and with it our interest
    if (image) {
        printer.done(*image);
        (void)base::write_all(STDOUT_FILENO,
                              fmt::format("id={}\npinned={}\n", image->id, image->reference));
        return 0;
    }
    printer.clear();
    const auto& error = image.error();
    const bool no_service =
        error.code == base::Code::service_unreachable && error.sys_errno == ENOENT;
    // Denied to the site's credentials, or hidden from them (many registries say "not found" to those
    // who may not see an image): the user's own, if there are any, stay in this process.
    if (no_service || error.code == base::Code::source_denied ||
        error.code == base::Code::source_not_found || error.code == base::Code::unsupported) {
        return stage_here(arguments);
    }
    print_error(error);
    return static_cast<int>(base::exit_code_for(error.code));
}

} // namespace

int main(int argc, char** argv) {
    slipway::base::repair_inherited_state();
    const auto arguments = parse(argc, argv);
    if (!arguments) {
        print_error(arguments.error());
        return static_cast<int>(base::ExitCode::usage);
    }
    return stage(*arguments);
}
