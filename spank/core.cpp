// SPDX-License-Identifier: Apache-2.0
// What the front calls. Nothing but guards: no exception may reach Slurm's C code, and no exception
// may let a command run outside its container.
#include "spank/core.hpp"

#include "spank/plugin.hpp"
#include "spank/slurm_api.hpp"

#include <unistd.h>

#include <exception>
#include <string>

extern "C" {
#include <slurm/spank.h>
}

namespace slipway::spank {
namespace {

Plugin& plugin() {
    // Never destroyed: Slurm's programs end without asking plugins, and so do tasks.
    static auto* only = new Plugin(real_surroundings());
    return *only;
}

void remember_failure(const char* what) noexcept {
    try {
        plugin().remember(
            {base::Code::internal, 0, std::string("in the plugin: ") + what, "please report this"});
    } catch (...) {
        slurm_error("slipway: out of memory");
    }
}

template <typename Body>
int guard(Body body) noexcept {
    try {
        return body();
    } catch (const std::exception& exception) {
        remember_failure(exception.what());
    } catch (...) {
        remember_failure("an unknown exception");
    }
    return 0;
}

/// Where failing is still possible and safe, an exception ends the task or the submission.
template <typename Body>
int guard_or_fail(Body body) noexcept {
    try {
        return body();
    } catch (...) {
        slurm_error("slipway: an unexpected failure in the plugin (out of memory?)");
        ::_exit(set_up_failed);
    }
}

void take_option(int value, const char* argument) {
    guard([&] {
        plugin().option(value, argument);
        return 0;
    });
}

void plain_component() {
    guard([] {
        plugin().plain_component();
        return 0;
    });
}

int init_post_opt(spank_handle* handle, int count, char** arguments) {
    const auto body = [&] {
        SlurmApi api(handle);
        plugin().configure({arguments, static_cast<std::size_t>(count)});
        return plugin().init_post_opt(api);
    };
    // On a node this must succeed whatever happens; the task fails later.
    const auto context = spank_context();
    const bool submits = context == S_CTX_LOCAL || context == S_CTX_ALLOCATOR;
    return submits ? guard_or_fail(body) : guard(body);
}

int user_init() {
    return guard([] { return plugin().user_init(); });
}

template <int (Plugin::*Callback)(SpankApi&)>
int forward(spank_handle* handle) {
    return guard([&] {
        SlurmApi api(handle);
        return (plugin().*Callback)(api);
    });
}

int task_init(spank_handle* handle) {
    return guard_or_fail([&] {
        SlurmApi api(handle);
        return plugin().task_init(api);
    });
}

} // namespace
} // namespace slipway::spank

extern "C" [[gnu::visibility("default")]] constinit const slipway::spank::CoreCalls slipway_core = {
    slipway::spank::core_interface,
    slipway::spank::take_option,
    slipway::spank::plain_component,
    slipway::spank::init_post_opt,
    slipway::spank::user_init,
    slipway::spank::forward<&slipway::spank::Plugin::task_init_privileged>,
    slipway::spank::task_init,
    slipway::spank::forward<&slipway::spank::Plugin::task_exit>,
    slipway::spank::forward<&slipway::spank::Plugin::exit>,
};
