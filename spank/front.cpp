// SPDX-License-Identifier: Apache-2.0
// The half of the plugin that Slurm loads, into every srun, sbatch, salloc and slurmstepd there is.
// It registers the options, looks whether this job has anything to do with containers, and loads
// the core only if so. It is linked without the C++ runtime and allocates nothing, because all of
// it is paid for by jobs that asked for no container (docs/adr/0011).
//
// Fail closed: once there is a trace of a container and the core cannot be loaded, srun and its kin
// end before anything is submitted, and tasks end before their command. In slurmstepd itself
// nothing fails, because that would drain the node.
#include "base/error_codes.hpp"
#include "spank/core.hpp"
#include "spank/option_table.hpp"

#include <dlfcn.h>
#include <unistd.h>

#include <climits>
#include <cstdio>
#include <cstring>

// spank.h declares the callbacks outside its extern "C".
extern "C" {
#include <slurm/spank.h>
}

namespace slipway::spank {
namespace {

struct Front {
    const CoreCalls* core = nullptr;
    bool plain = false; ///< a component of this (heterogeneous) job has asked for no container
    char why[512] = ""; ///< the core is needed and cannot be had; empty: it can, or is not needed

    [[nodiscard]] bool broken() const noexcept { return why[0] != '\0'; }
};
constinit Front front;

constexpr const char* code_texts[] = {
#define SLIPWAY_X(name, text) text,
    SLIPWAY_ERROR_CODES(SLIPWAY_X)
#undef SLIPWAY_X
};
constexpr const char* misconfigured =
    code_texts[static_cast<std::size_t>(base::Code::plugin_misconfigured)];

bool starts_with(const char* text, const char* start) noexcept {
    return std::strncmp(text, start, std::strlen(start)) == 0;
}

void give_up(const char* what, const char* why = "") noexcept {
    std::snprintf(front.why, sizeof front.why, "%.480s%s",
                  what != nullptr && *what != '\0' ? what : "no reason given", why);
}

/// Absolute path of the core, or false: a path without a directory would be searched for.
bool core_path(char (&path)[PATH_MAX]) noexcept {
    Dl_info own{};
    if (::dladdr(&front, &own) == 0 || own.dli_fname == nullptr || own.dli_fname[0] != '/') {
        return false;
    }
    const char* name = std::strrchr(own.dli_fname, '/') + 1;
    const int length =
        std::snprintf(path, sizeof path, "%.*s%s", static_cast<int>(name - own.dli_fname),
                      own.dli_fname, core_file);
    return length > 0 && static_cast<std::size_t>(length) < sizeof path;
}

/// Loads the core when that has not been tried before. It is never unloaded.
const CoreCalls* core() noexcept {
    if (front.core != nullptr || front.broken()) {
        return front.core;
    }
    char path[PATH_MAX];
    if (!core_path(path)) {
        give_up("the path of the plugin in plugstack.conf is not absolute");
        return nullptr;
    }
    void* handle = ::dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    const void* symbol = handle != nullptr ? ::dlsym(handle, core_symbol) : nullptr;
    if (symbol == nullptr) {
        give_up(::dlerror());
        return nullptr;
    }
    const auto* calls = static_cast<const CoreCalls*>(symbol);
    if (calls->interface != core_interface) {
        give_up(path, " is of another release");
        return nullptr;
    }
    front.core = calls;
    return front.core;
}

/// As Error::one_line() writes it, in one write.
void report_broken() noexcept {
    char line[sizeof front.why + 256];
    const int length = std::snprintf(
        line, sizeof line,
        "slipway: error: %s: the plugin cannot load its core: %s (hint: ask the administrator to "
        "install %s beside spank_slipway.so, both from the same build)\n",
        misconfigured, front.why, core_file);
    if (length > 0 && static_cast<std::size_t>(length) < sizeof line) {
        // Nothing is left to do when even stderr cannot be written.
        (void)!::write(STDERR_FILENO, line, static_cast<std::size_t>(length));
    }
}

int take_option(int value, const char* argument, int /*remote*/) noexcept {
    if (const auto* calls = core()) {
        calls->option(value, argument);
    }
    // Slurm only logs a failing callback on the node side, and runs the command on the host.
    return 0;
}

/// The site's option_prefix=. A bad one is left out here; the core refuses it where it matters.
const char* option_prefix(int count, char** arguments) noexcept {
    constexpr const char* key = "option_prefix=";
    for (int i = 0; i < count; ++i) {
        if (starts_with(arguments[i], key) && is_option_prefix(arguments[i] + std::strlen(key))) {
            return arguments[i] + std::strlen(key);
        }
    }
    return "";
}

void register_option(spank_t handle, const OptionRow& row, const char* prefix) noexcept {
    constexpr int required_argument = 1; // as in <getopt.h>
    constexpr int optional_argument = 2;
    // Slurm copies all strings, but its structure wants them mutable.
    auto name = option_name(row, prefix);
    spank_option option{};
    option.name = name.text;
    option.arginfo = const_cast<char*>(row.argument);
    option.usage = const_cast<char*>(row.usage);
    option.has_arg = row.argument_optional() ? optional_argument : required_argument;
    option.val = static_cast<int>(row.id);
    option.cb = take_option;
    if (spank_option_register(handle, &option) != ESPANK_SUCCESS) {
        slurm_error("slipway: cannot register the option --%s", name.text);
    }
}

/// srun, sbatch and salloc.
bool submits() noexcept {
    return spank_context() == S_CTX_LOCAL || spank_context() == S_CTX_ALLOCATOR;
}

/// These and slurmstepd; but not in the extern step, in which nothing of the user's ever runs, and
/// to which Slurm delivers no options. What Slurm does not know may be slurmstepd.
bool concerns_us(spank_t handle) noexcept {
    if (spank_context() != S_CTX_REMOTE && spank_context() != S_CTX_ERROR) {
        return submits();
    }
    std::uint32_t step = 0;
    return spank_get_item(handle, S_JOB_STEPID, &step) != ESPANK_SUCCESS || step != extern_step;
}

bool has_trace(char** environment) noexcept {
    constexpr const char* traces[] = {carrier_variable, slurm_option_variable_prefix,
                                      inherited_variable_prefix, our_variable_prefix,
                                      pyxis_variable_prefix};
    for (char** entry = environment; *entry != nullptr; ++entry) {
        for (const char* trace : traces) {
            if (starts_with(*entry, trace)) {
                return true;
            }
        }
    }
    return false;
}

/// Options were called for before; what came by variables has still to be looked for. A variable
/// that turns out to mean nothing only costs what loading the core costs. An environment that
/// cannot be read may hold one.
bool wanted(spank_t handle) noexcept {
    if (front.core != nullptr || front.broken()) {
        return true;
    }
    if (submits()) {
        return environ != nullptr && has_trace(environ);
    }
    char** environment = nullptr;
    return spank_get_item(handle, S_JOB_ENV, &environment) != ESPANK_SUCCESS ||
           environment == nullptr || has_trace(environment);
}

/// One line for each node.
[[noreturn]] void end_task(spank_t handle) noexcept {
    int task = 0;
    if (spank_get_item(handle, S_TASK_ID, &task) != ESPANK_SUCCESS || task == 0) {
        report_broken();
    }
    ::_exit(set_up_failed);
}

} // namespace
} // namespace slipway::spank

#define SLIPWAY_EXPORT [[gnu::visibility("default")]]

using namespace slipway::spank;

extern "C" {

SLIPWAY_EXPORT extern const char plugin_name[] = "slipway";
SLIPWAY_EXPORT extern const char plugin_type[] = "spank";

SLIPWAY_EXPORT int slurm_spank_init(spank_t handle, int count, char** arguments) {
    if (concerns_us(handle)) {
        const char* prefix = option_prefix(count, arguments);
        for (const auto& row : option_table) {
            register_option(handle, row, prefix);
        }
    }
    return 0;
}

SLIPWAY_EXPORT int slurm_spank_init_post_opt(spank_t handle, int count, char** arguments) {
    if (!concerns_us(handle)) {
        return 0;
    }
    if (!wanted(handle)) {
        front.plain = true;
        return 0;
    }
    const auto* calls = core();
    if (calls == nullptr) {
        if (submits()) {
            report_broken();
            ::_exit(set_up_failed); // Slurm ignores a failure where plugstack.conf says `optional`
        }
        return 0;
    }
    if (front.plain) {
        calls->plain_component();
        front.plain = false;
    }
    return calls->init_post_opt(handle, count, arguments);
}

SLIPWAY_EXPORT int slurm_spank_user_init(spank_t, int, char**) {
    return front.core != nullptr ? front.core->user_init() : 0;
}

SLIPWAY_EXPORT int slurm_spank_task_init_privileged(spank_t handle, int, char**) {
    return front.core != nullptr ? front.core->task_init_privileged(handle) : 0;
}

SLIPWAY_EXPORT int slurm_spank_task_init(spank_t handle, int, char**) {
    if (front.broken()) {
        end_task(handle);
    }
    return front.core != nullptr ? front.core->task_init(handle) : 0;
}

SLIPWAY_EXPORT int slurm_spank_task_exit(spank_t handle, int, char**) {
    return front.core != nullptr ? front.core->task_exit(handle) : 0;
}

SLIPWAY_EXPORT int slurm_spank_exit(spank_t handle, int, char**) {
    return front.core != nullptr ? front.core->exit(handle) : 0;
}

} // extern "C"
