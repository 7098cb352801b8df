// SPDX-License-Identifier: Apache-2.0
#include "spank/arguments.hpp"

#include "base/path.hpp"
#include "base/text.hpp"
#include "base/trusted_path.hpp"
#include "spank/option_table.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string_view>

namespace slipway::spank {
namespace {

using base::Code;
using base::Result;

constexpr const char* launcher_name = "slipway-launch";

base::Unexpected misconfigured(std::string message) {
    return base::fail(Code::plugin_misconfigured, std::move(message),
                      "ask the administrator to correct plugstack.conf");
}

Result<std::string> absolute(std::string_view key, std::string_view value) {
    if (value.empty() || value.front() != '/') {
        return misconfigured(std::string(key) + "= in plugstack.conf is not an absolute path");
    }
    return std::string(value);
}

Result<std::string> prefix(std::string_view value) {
    if (!is_option_prefix(std::string(value).c_str())) {
        return misconfigured("option_prefix= in plugstack.conf may hold a-z, 0-9 and '-' only");
    }
    return std::string(value);
}

Result<void> take(Arguments& arguments, std::string_view key, std::string_view value) {
    if (key == "config") {
        TRY_ASSIGN(arguments.config, absolute(key, value));
    } else if (key == "launcher") {
        TRY_ASSIGN(arguments.launcher, absolute(key, value));
    } else if (key == "option_prefix") {
        TRY_ASSIGN(arguments.option_prefix, prefix(value));
    } else if (key == "batch" && (value == "container" || value == "host")) {
        arguments.batch = value == "container" ? launcher::join::Switch::on : launcher::join::Switch::off;
    } else if (key == "batch") {
        return misconfigured("batch= in plugstack.conf is neither container nor host");
    } else {
        return misconfigured("unknown argument " + base::in_quotes(key, 80) + " in plugstack.conf");
    }
    return {};
}

/// Directory of the shared object that holds this very function.
std::string own_directory() {
    Dl_info info{};
    if (::dladdr(reinterpret_cast<const void*>(&find_program), &info) == 0 ||
        info.dli_fname == nullptr) {
        return {};
    }
    return std::string(base::dir_name(info.dli_fname));
}

bool is_file(const std::string& path) {
    struct stat about {};
    return ::stat(path.c_str(), &about) == 0 && S_ISREG(about.st_mode);
}

} // namespace

Result<Arguments> parse_arguments(std::span<char* const> arguments) {
    Arguments parsed;
    for (const char* argument : arguments) {
        const std::string_view text(argument);
        const auto equals = text.find('=');
        const auto value =
            equals == std::string_view::npos ? std::string_view{} : text.substr(equals + 1);
        TRY(take(parsed, text.substr(0, equals), value));
    }
    return parsed;
}

std::string find_program(const Arguments& arguments, const std::string& name) {
    if (!arguments.launcher.empty()) {
        return name == launcher_name ? arguments.launcher
                                     : base::join_path(base::dir_name(arguments.launcher), name);
    }
    constexpr std::string_view build_tree = "/lib/slurm";
    const auto own = own_directory();
    if (own.ends_with(build_tree)) {
        const auto candidate = own.substr(0, own.size() - build_tree.size()) + "/libexec/" + name;
        if (is_file(candidate)) {
            return candidate;
        }
    }
    return base::join_path(SLIPWAY_LIBEXECDIR, name);
}

Result<void> check_root_program(const std::string& path) {
    auto file = base::open_trusted(path, O_PATH, 0, Code::plugin_misconfigured);
    if (!file && file.error().code == Code::plugin_misconfigured) {
        return base::Unexpected(std::move(file).error().context("the launcher will not be run"));
    }
    if (!file) {
        return base::fail_errno(Code::plugin_misconfigured, file.error().sys_errno,
                                "there is no launcher " + base::in_quotes(path),
                                "ask the administrator to install it or to correct launcher= in "
                                "plugstack.conf");
    }
    struct stat about {};
    if (::fstat(file->get(), &about) != 0 || !S_ISREG(about.st_mode)) {
        return misconfigured("the launcher " + base::in_quotes(path) + " is not a file");
    }
    return {};
}

} // namespace slipway::spank
