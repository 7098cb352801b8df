// SPDX-License-Identifier: Apache-2.0
#include "cli/images_program.hpp"

#include "base/child.hpp"
#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/helper_program.hpp"
#include "base/path.hpp"
#include "base/temp_dir.hpp"
#include "base/text.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <climits>

namespace slipway::cli {
namespace {

using base::Code;
using base::fail;
using base::fail_errno;
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
    std::vector<char*> argv{const_cast<char*>(program->c_str())};
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

/// Runs `slipway-images ARGUMENTS`; an error unless it ends with 0.
Result<void> run_images_program(std::vector<std::string> arguments, const std::string& uri,
                                const std::vector<std::string>& environment, int output) {
    TRY_ASSIGN(auto program, find_images_program());
    arguments.insert(arguments.begin(), std::string(program_name));
    TRY_ASSIGN(auto child, base::Child::spawn({std::move(program), std::move(arguments), environment,
                                               {{output, STDOUT_FILENO}}}));
    TRY_ASSIGN(const int status, child.wait());
    if (status != 0) {
        return fail(Code::not_staged,
                    fmt::format("cannot get the image {}; the reason is above", in_quotes(uri)),
                    fmt::format("slipway stage -v {}", uri));
    }
    return {};
}

} // namespace

Result<std::string> staged_path(const std::string& uri, const std::vector<std::string>& environment,
                                const std::vector<std::string>& options) {
    const base::UniqueFd answer(::memfd_create("slipway-staged-path", MFD_CLOEXEC));
    if (!answer) {
        return fail_errno(Code::system, errno, "cannot make a file in memory");
    }
    std::vector<std::string> arguments{"stage", "--print-path"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    arguments.insert(arguments.end(), {"--", uri});
    TRY(run_images_program(std::move(arguments), uri, environment, answer.get()));
    if (::lseek(answer.get(), 0, SEEK_SET) < 0) {
        return fail_errno(Code::system, errno, "cannot read the path of the image");
    }
    TRY_ASSIGN(auto text, base::read_to_end(answer.get(), max_answer));
    if (text.ends_with('\n')) {
        text.pop_back();
    }
    if (!text.starts_with('/') || text.find('\n') != std::string::npos) {
        return fail(Code::internal,
                    fmt::format("{} answered {} instead of a path", program_name, in_quotes(text)),
                    "report this as an error of Slipway");
    }
    return text;
}

Result<base::UniqueFd> built_image(const std::string& uri,
                                   const std::vector<std::string>& environment,
                                   const std::vector<std::string>& options,
                                   const std::string& parent) {
    TRY_ASSIGN(const auto directory, base::TempDir::create("slipway-image-", parent));
    const auto path = base::join_path(directory.path(), "image.sif");
    std::vector<std::string> arguments{"build"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    arguments.insert(arguments.end(), {"--", path, uri});
    TRY(run_images_program(std::move(arguments), uri, environment, STDERR_FILENO));
    return base::open_file(path, O_RDONLY);
}

} // namespace slipway::cli
