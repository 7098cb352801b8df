// SPDX-License-Identifier: Apache-2.0
#include "spank/plugin.hpp"

namespace slipway::spank {

int Plugin::init(SpankApi& api, std::span<char* const> arguments, OptionCallback callback) {
    const auto context = api.context();
    if (context != Context::local && context != Context::allocator && context != Context::remote) {
        return 0;
    }
    if (context == Context::remote && api.step_id() == extern_step) {
        return 0; // Slurm delivers no options there, and nothing of the user's ever runs in it
    }
    auto parsed = parse_arguments(arguments);
    if (parsed) {
        arguments_ = std::move(*parsed);
    } else {
        remember(std::move(parsed).error());
    }
    for (const auto& row : option_table()) {
        if (!api.register_option(row, option_name(row.id), callback)) {
            api.log_error("slipway: cannot register the option --" + option_name(row.id));
        }
    }
    return 0;
}

std::string Plugin::option_name(OptionId id) const {
    const std::string name(row_of(id).name);
    constexpr std::string_view no = "no-";
    // --no-pilot-container-mount-home reads better than --pilot-no-container-mount-home.
    return name.starts_with(no)
               ? std::string(no) + arguments_.option_prefix + name.substr(no.size())
               : arguments_.option_prefix + name;
}

void Plugin::option(int value, const char* argument) {
    if (value >= 0 && static_cast<std::size_t>(value) < option_count) {
        options_.take(static_cast<OptionId>(value), argument);
    }
}

int Plugin::init_post_opt(SpankApi& api) {
    switch (api.context()) {
    case Context::local:
    case Context::allocator:
        return finish_local(api);
    case Context::remote:
        return finish_remote(api);
    default:
        return 0;
    }
}

void Plugin::remember(base::Error error) {
    if (!failure_) {
        failure_ = std::move(error);
    }
}

} // namespace slipway::spank
