// SPDX-License-Identifier: Apache-2.0
#include "cli/images_program.hpp"

#include "base/capture.hpp"
#include "base/ending_signals.hpp"
#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/helper_program.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "cli/product.hpp"

#include <cerrno>
#include <climits>
#include <csignal>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace slipway::cli {
namespace {

using base::Code;
using base::fail;
using base::in_quotes;
using base::Result;

constexpr std::string_view program_name = "slipway-images";
constexpr std::size_t max_answer = 2 * PATH_MAX;

} // namespace

Result<std::string> find_images_program() {
    auto program = base::find_helper_program(program_name);
    if (!program) {
        auto error = std::move(program).error();
        error.hint += "; local image files work without it";
        return tl::unexpected(std::move(error));
    }
    return program;
}

base::Error become_images_program(const std::vector<std::string>& arguments) {
    auto program = find_images_program();
    if (!program) {
        return std::move(program).error();
    }
    const std::string called_as(product_name());
    std::vector<char*> argv{const_cast<char*>(called_as.c_str())};
    for (const auto& argument : arguments) {
        argv.push_back(const_cast<char*>(argument.c_str()));
    }
    argv.push_back(nullptr);
    ::execv(program->c_str(), argv.data());
    const int error = errno;
    return {Code::system,
            error,
            fmt::format("cannot start {}: {}", in_quotes(*program), base::errno_text(error)),
            {}};
}

namespace {

/// What `slipway-images ARGUMENTS` prints; an error unless it ends with 0.
Result<std::string> ask_images_program(std::vector<std::string> arguments, const std::string& uri,
                                       const std::vector<std::string>& environment) {
    TRY_ASSIGN(auto program, find_images_program());
    arguments.insert(arguments.begin(), std::string(product_name()));
    TRY_ASSIGN(auto answer,
               base::capture_output({std::move(program), std::move(arguments), environment, {}},
                                    max_answer, base::Deadline::never(), base::ErrorOutput::inherit));
    if (WIFSIGNALED(answer.status)) {
        return fail(Code::not_staged,
                    fmt::format("cannot get the image {}: {} was killed by signal {}",
                                in_quotes(uri), program_name, WTERMSIG(answer.status)),
                    "the system log may say more (out of memory?)");
    }
    if (answer.status != 0) {
        return fail(Code::not_staged, ""); // it has said why
    }
    return std::move(answer.output);
}

/// Holds back what would end this process, until there is nothing left to remove. The child gets the
/// terminal's interrupt, too, and ends.
class HeldSignals {
  public:
    HeldSignals() {
        sigset_t held;
        sigemptyset(&held);
        for (const int signal : base::ending_signals) {
            sigaddset(&held, signal);
        }
        ::sigprocmask(SIG_BLOCK, &held, &before_);
    }
    ~HeldSignals() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }
    HeldSignals(const HeldSignals&) = delete;
    HeldSignals& operator=(const HeldSignals&) = delete;

  private:
    sigset_t before_{};
};

} // namespace

Result<image::StoredImageName> staged_image(const std::string& uri,
                                            const std::vector<std::string>& environment,
                                            const std::vector<std::string>& options) {
    std::vector<std::string> arguments{"stage", "--print-path"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    arguments.insert(arguments.end(), {"--", uri});
    TRY_ASSIGN(auto text, ask_images_program(std::move(arguments), uri, environment));
    if (text.ends_with('\n')) {
        text.pop_back();
    }
    auto stored = image::parse_stored_image_path(text);
    if (!stored || text.find('\n') != std::string::npos) {
        return fail(Code::internal,
                    fmt::format("{} answered {} instead of a path in a store", program_name,
                                in_quotes(text)),
                    "report this as an error of Slipway");
    }
    return std::move(*stored);
}

Result<base::UniqueFd> built_image(const std::string& uri,
                                   const EnvironmentView& environment,
                                   const std::vector<std::string>& options) {
    const HeldSignals held;
    TRY_ASSIGN(const auto directory, temporary_directory(environment, "slipway-image-"));
    const auto path = base::join_path(directory.path(), "image.sif");
    std::vector<std::string> arguments{"build", "--print-path"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    arguments.insert(arguments.end(), {"--", path, uri});
    TRY(ask_images_program(std::move(arguments), uri, environment.variables()));
    TRY_ASSIGN(auto file, base::open_file(path, O_RDONLY | O_NOFOLLOW));
    struct stat facts {};
    if (::fstat(file.get(), &facts) != 0 || facts.st_uid != ::geteuid()) {
        // The directory is ours, but perhaps not the ones above it.
        return fail(Code::image_unreadable, in_quotes(path) + " was replaced just now",
                    "set SLIPWAY_TMPDIR to a directory that nobody else may change");
    }
    return file;
}

} // namespace slipway::cli
