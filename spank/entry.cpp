// SPDX-License-Identifier: Apache-2.0
// The functions that Slurm looks up. Nothing but guards: no exception may reach Slurm's C code, and
// no exception may let a command run outside its container.
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
    // Never destroyed: an exit handler would outlive the unloaded plugin.
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
        ::_exit(1);
    }
}

int take_option(int value, const char* argument, int /*remote*/) noexcept {
    return guard([&] {
        plugin().option(value, argument);
        return 0;
    });
}

} // namespace
} // namespace slipway::spank

#define SLIPWAY_EXPORT [[gnu::visibility("default")]]

using namespace slipway::spank;

extern "C" {

SLIPWAY_EXPORT extern const char plugin_name[] = "slipway";
SLIPWAY_EXPORT extern const char plugin_type[] = "spank";

SLIPWAY_EXPORT int slurm_spank_init(spank_t handle, int count, char** arguments) {
    return guard([&] {
        SlurmApi api(handle);
        return plugin().init(api, {arguments, static_cast<std::size_t>(count)}, take_option);
    });
}

SLIPWAY_EXPORT int slurm_spank_init_post_opt(spank_t handle, int, char**) {
    const auto body = [&] {
        SlurmApi api(handle);
        return plugin().init_post_opt(api);
    };
    // On a node this must succeed whatever happens; the task fails later.
    return spank_remote(handle) == 1 ? guard(body) : guard_or_fail(body);
}

SLIPWAY_EXPORT int slurm_spank_user_init(spank_t, int, char**) {
    return guard([&] { return plugin().user_init(); });
}

SLIPWAY_EXPORT int slurm_spank_task_init_privileged(spank_t handle, int, char**) {
    return guard([&] {
        SlurmApi api(handle);
        return plugin().task_init_privileged(api);
    });
}

SLIPWAY_EXPORT int slurm_spank_task_init(spank_t handle, int, char**) {
    return guard_or_fail([&] {
        SlurmApi api(handle);
        return plugin().task_init(api);
    });
}

SLIPWAY_EXPORT int slurm_spank_task_exit(spank_t handle, int, char**) {
    return guard([&] {
        SlurmApi api(handle);
        return plugin().task_exit(api);
    });
}

SLIPWAY_EXPORT int slurm_spank_exit(spank_t handle, int, char**) {
    return guard([&] {
        SlurmApi api(handle);
        return plugin().exit(api);
    });
}

} // extern "C"
