// SPDX-License-Identifier: Apache-2.0
#include "base/argv.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "launcher/container.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace slipway::launcher {
namespace {

using base::Code;
using base::Error;
using base::in_quotes;

std::string path_of(const std::vector<std::string>& environment) {
    for (const auto& item : environment) {
        if (item.starts_with("PATH=")) {
            return item.substr(5);
        }
    }
    return {};
}

/// execve(2) with the shell's habit of taking a text without "#!" for a script. Returns errno.
int try_exec(const std::string& program, const std::vector<std::string>& argv, char* const* env) {
    auto arguments = base::argv_pointers(argv);
    ::execve(program.c_str(), arguments.data(), env);
    if (errno != ENOEXEC) {
        return errno;
    }
    std::vector<std::string> script{"/bin/sh", program};
    script.insert(script.end(), argv.begin() + 1, argv.end());
    auto shell_arguments = base::argv_pointers(script);
    ::execve("/bin/sh", shell_arguments.data(), env);
    return ENOEXEC;
}

bool is_file(const std::string& path) {
    struct stat st {};
    return ::stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode);
}

bool is_directory(const std::string& path) {
    struct stat st {};
    return ::stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}

/// What stands in the way of execve(2) with EACCES.
Error not_executable(const std::string& program) {
    if (is_directory(program)) {
        return {Code::command_not_found, EACCES,
                fmt::format("{} is a directory in the container, not a program", in_quotes(program)),
                "name the program to run after the image"};
    }
    return {Code::command_not_found, EACCES,
            fmt::format("{} in the container is not an executable file: {}", in_quotes(program),
                        base::errno_text(EACCES)),
            "name a program; a script becomes one with chmod +x, unless its directory is mounted noexec"};
}

Error failure(const std::string& program, int err) {
    if (err == ENOENT && is_file(program)) {
        return {
            Code::system, err,
            fmt::format("cannot run {}: its interpreter or a shared library is likely missing in "
                        "the image",
                        in_quotes(program)),
            "the program may come from the host or from another distribution"};
    }
    if (err == ENOENT || err == ENOTDIR) {
        return {Code::command_not_found, err,
                fmt::format("{} does not exist in the container", in_quotes(program)),
                "check the path; the host's files are not in the container"};
    }
    if (err == EACCES) {
        return not_executable(program);
    }
    return {Code::system,
            err,
            fmt::format("cannot run {}: {}", in_quotes(program), base::errno_text(err)),
            {}};
}

} // namespace

Error exec_inside(const std::vector<std::string>& argv,
                  const std::vector<std::string>& environment) {
    if (argv.empty() || argv[0].empty()) {
        return {Code::usage, 0, "no command given", "name the command to run after the image"};
    }
    auto variables = base::argv_pointers(environment);
    if (argv[0].find('/') != std::string::npos) {
        return failure(argv[0], try_exec(argv[0], argv, variables.data()));
    }
    Error best{
        Code::command_not_found, ENOENT,
        fmt::format("{}: executable file not found in the container's PATH", in_quotes(argv[0])),
        "is it installed in the image? `slipway exec IMAGE sh -c 'echo $PATH'` shows where "
        "was looked"};
    const auto path = path_of(environment); // split() gives views into it
    for (const auto directory : base::split(path, ':')) {
        const auto program =
            fmt::format("{}/{}", directory.empty() ? std::string_view(".") : directory, argv[0]);
        const int err = try_exec(program, argv, variables.data());
        if (err == ENOENT && is_file(program)) {
            return failure(program, err);
        }
        if (err == EACCES && is_file(program)) {
            best =
                failure(program, err); // like a shell: go on, but report this if nothing is found
        } else if (err != ENOENT && err != ENOTDIR && err != EACCES) {
            return failure(program, err);
        }
    }
    return best;
}

} // namespace slipway::launcher
