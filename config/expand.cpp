// SPDX-License-Identifier: Apache-2.0
#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "config/config.hpp"
#include "config/document.hpp"

namespace slipway::config {
namespace {

using base::Code;
using base::fail;
using base::in_quotes;
using base::Result;

constexpr std::string_view allowed = "begin with / or ~, and use only ${USER}, ${UID} and ${HOME}";

/// A name from the password database goes into a path as one component only.
Result<void> check_component(std::string_view name) {
    if (name.empty() || name == "." || name == ".." || name.find('/') != std::string_view::npos) {
        return wrong("the user name " + in_quotes(name) + " cannot be part of a path",
                     "set SLIPWAY_CACHEDIR");
    }
    return {};
}

Result<std::string> variable(std::string_view name, const User& user) {
    if (name == "USER") {
        TRY(check_component(user.name));
        return user.name;
    }
    if (name == "UID") {
        return fmt::format("{}", user.uid);
    }
    if (name == "HOME") {
        return user.home;
    }
    return wrong(fmt::format("unknown variable {}", in_quotes(name)), std::string(allowed));
}

} // namespace

Result<std::string> expand(std::string_view pattern, const User& user) {
    std::string out;
    auto rest = pattern;
    if (rest == "~" || rest.starts_with("~/")) {
        out = user.home;
        rest.remove_prefix(1);
    }
    while (!rest.empty()) {
        const auto dollar = rest.find('$');
        out += rest.substr(0, dollar);
        if (dollar == std::string_view::npos) {
            break;
        }
        rest.remove_prefix(dollar + 1);
        const auto end = rest.find('}');
        if (!rest.starts_with('{') || end == std::string_view::npos) {
            return wrong(in_quotes(pattern) + " has a $ without {NAME}", std::string(allowed));
        }
        TRY_ASSIGN(const auto value, variable(rest.substr(1, end - 1), user));
        out += value;
        rest.remove_prefix(end + 1);
    }
    if (!out.starts_with('/') || base::has_dotdot(out)) {
        return wrong(in_quotes(pattern) + " gives no absolute path without ..",
                     std::string(allowed));
    }
    return base::clean_path(out);
}

Result<std::string> user_store_path(const Config& config, const User& user,
                                    std::string_view slipway_cachedir,
                                    std::string_view xdg_cache_home) {
    if (!slipway_cachedir.empty()) {
        if (!slipway_cachedir.starts_with('/')) {
            return fail(Code::option_invalid,
                        "SLIPWAY_CACHEDIR is " + in_quotes(slipway_cachedir) +
                            ", not an absolute path",
                        "begin it with /");
        }
        return base::clean_path(slipway_cachedir);
    }
    if (!config.store.user_path.empty()) {
        return expand(config.store.user_path, user);
    }
    // The XDG specification says to ignore a relative value.
    if (xdg_cache_home.starts_with('/')) {
        return base::join_path(base::clean_path(xdg_cache_home), "slipway");
    }
    return expand("~/.cache/slipway", user);
}

} // namespace slipway::config
