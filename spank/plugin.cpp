// SPDX-License-Identifier: Apache-2.0
#include "spank/plugin.hpp"

namespace slipway::spank {

void Plugin::configure(std::span<char* const> arguments) {
    auto parsed = parse_arguments(arguments);
    if (parsed) {
        arguments_ = std::move(*parsed);
    } else {
        remember(std::move(parsed).error());
    }
}

std::string Plugin::name_of(OptionId id) const {
    return option_name(row_of(id), arguments_.option_prefix.c_str()).text;
}

std::string Plugin::source_of(OptionId id) const {
    return options_.source(id, arguments_.option_prefix);
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
    case Context::error: // nobody knows what this is: no container may be missed
        return finish_remote(api);
    case Context::slurmd:
    case Context::job_script:
        break;
    }
    return 0;
}

void Plugin::remember(base::Error error) {
    if (!failure_) {
        failure_ = std::move(error);
    }
}

} // namespace slipway::spank
