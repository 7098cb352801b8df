// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "spank/settings.hpp"

#include <cstddef>
#include <cstdint>
#include <iterator>

/// What both halves of the plugin know of options and variables. Constants only: the front half is
/// linked without the C++ runtime.
namespace slipway::spank {

enum class OptionId : std::uint8_t {
    image,
    mounts,
    workdir,
    mount_home,
    no_mount_home,
    environment,
    writable,
    readonly,
    batch,
};

/// What values look like, and therefore how they are checked, read and written (options.cpp).
enum class ValueKind : std::uint8_t {
    image,     ///< a path or a reference, or `none`
    mounts,    ///< launcher/join/mount_spec.hpp, the spelling of pyxis
    directory, ///< an absolute path
    names,     ///< of variables, with commas between them
    on_off,    ///< parse_switch(); "--name" alone means on
};

/// The member of Settings that an option fills: one of the three, as its kind says.
struct Target {
    std::string Settings::*text = nullptr;
    std::vector<std::string> Settings::*names = nullptr;
    Switch Settings::*on_off = nullptr;
    bool opposite = false; ///< `on` switches the member off
};

/// One option of srun, sbatch and salloc. No option is bare (without any argument): Slurm hands
/// those on as "(null)" and leaves them in the environment of tasks, where they would switch the
/// option on in an srun inside.
struct OptionRow {
    OptionId id;
    const char* name;     ///< without "--" and without the site's prefix
    const char* argument; ///< for --help
    ValueKind kind;
    Target target;
    const char* usage;
    const char* variable; ///< SLIPWAY_CONTAINER_<variable>, PYXIS_CONTAINER_<variable>; may be null

    [[nodiscard]] constexpr bool argument_optional() const noexcept {
        return kind == ValueKind::on_off;
    }
};

/// The only list of the options: a new one is a row here, and whatever is not a row here does not
/// compile (below).
inline constexpr OptionRow option_table[] = {
    {OptionId::image,
     "container-image",
     "IMAGE|PATH",
     ValueKind::image,
     {.text = &Settings::image},
     "[slipway] run the tasks in this container: the path of a SIF, SquashFS file or directory, or "
     "a reference such as docker://debian:12; `none` runs them without one",
     "IMAGE"},
    {OptionId::mounts,
     "container-mounts",
     "SRC:DST[:FLAGS][,...]",
     ValueKind::mounts,
     {.text = &Settings::mounts},
     "[slipway] show files and directories of the node in the container, at most 256, in at most "
     "4096 characters; FLAGS: ro, rw, ... joined by +",
     "MOUNTS"},
    {OptionId::workdir,
     "container-workdir",
     "PATH",
     ValueKind::directory,
     {.text = &Settings::workdir},
     "[slipway] start the tasks in this directory of the container",
     "WORKDIR"},
    {OptionId::mount_home,
     "container-mount-home",
     "on|off",
     ValueKind::on_off,
     {.on_off = &Settings::mount_home},
     "[slipway] show the home directory in the container",
     "MOUNT_HOME"},
    {OptionId::no_mount_home,
     "no-container-mount-home",
     "on|off",
     ValueKind::on_off,
     {.on_off = &Settings::mount_home, .opposite = true},
     "[slipway] hide the home directory from the container",
     nullptr},
    {OptionId::environment,
     "container-env",
     "NAME[,NAME...]",
     ValueKind::names,
     {.names = &Settings::environment},
     "[slipway] keep these variables as they are outside, whatever the image sets",
     "ENV"},
    {OptionId::writable,
     "container-writable",
     "on|off",
     ValueKind::on_off,
     {.on_off = &Settings::writable},
     "[slipway] let the tasks change the container's files; changes are lost at the end",
     "WRITABLE"},
    {OptionId::readonly,
     "container-readonly",
     "on|off",
     ValueKind::on_off,
     {.on_off = &Settings::writable, .opposite = true},
     "[slipway] keep the container's files read-only",
     "READONLY"},
    {OptionId::batch,
     "container-batch",
     "on|off",
     ValueKind::on_off,
     {.on_off = &Settings::batch},
     "[slipway] run the batch script itself in the container, not only the srun commands in it; "
     "for sbatch only",
     "BATCH"},
};
inline constexpr std::size_t option_count = std::size(option_table);

/// Every option has its row, in order (the last value names the last row), and every row a target
/// of its kind.
consteval bool table_is_sound() {
    std::size_t index = 0;
    for (const auto& row : option_table) {
        const bool text = row.target.text != nullptr;
        const bool names = row.target.names != nullptr;
        const bool on_off = row.target.on_off != nullptr;
        const bool fits = names == (row.kind == ValueKind::names) &&
                          on_off == (row.kind == ValueKind::on_off) && text == !(names || on_off);
        if (static_cast<std::size_t>(row.id) != index++ || !fits) {
            return false;
        }
    }
    return static_cast<std::size_t>(OptionId::batch) + 1 == option_count;
}
static_assert(table_is_sound());

/// Longest value of an option. Slurm copies values into environments of root's programs; near 128
/// KiB those can no longer be started, and a failing prolog drains the node.
inline constexpr std::size_t max_option_bytes = 4096;

/// Longest option_prefix= in plugstack.conf.
inline constexpr std::size_t max_option_prefix = 20;

/// What may be put before the names of options: a-z, 0-9 and '-', not '-' in front.
constexpr bool is_option_prefix(const char* text) noexcept {
    std::size_t length = 0;
    for (; text[length] != '\0'; ++length) {
        const char c = text[length];
        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-') {
            return false;
        }
    }
    return length <= max_option_prefix && text[0] != '-';
}

/// "container-image" as users type it where the site has set a prefix: "pilot-container-image". And
/// --no-pilot-container-mount-home, because that reads better than the prefix in front.
struct OptionName {
    char text[64] = "";
};
constexpr OptionName option_name(const OptionRow& row, const char* prefix) noexcept {
    OptionName name;
    std::size_t length = 0;
    const auto append = [&](const char* text, std::size_t most) {
        for (std::size_t i = 0; i < most && text[i] != '\0' && length + 1 < sizeof name.text; ++i) {
            name.text[length++] = text[i];
        }
    };
    const bool no = row.name[0] == 'n' && row.name[1] == 'o' && row.name[2] == '-';
    const std::size_t skipped = no ? 3 : 0;
    append(row.name, skipped);
    append(prefix, max_option_prefix);
    append(row.name + skipped, sizeof name.text);
    return name;
}

/// Name of the variable that carries encode_settings() from srun or sbatch to the node. It begins
/// with SLURM_ because only such variables survive --export=NONE.
inline constexpr const char* carrier_variable = "SLURM_SLIPWAY_SETTINGS";

/// Its value where options were given and there is no container all the same: an option that comes
/// to a node without this word was set behind the back of srun, which would have checked it.
inline constexpr const char* carrier_no_container = "none";

/// How the variables begin by which Slurm hands options to the node, and by which sbatch and salloc
/// hand them to every srun inside (that is, SLURM_SPANK_ and the former).
inline constexpr const char* slurm_option_variable_prefix = "_SLURM_SPANK_OPTION_slipway_";
inline constexpr const char* inherited_variable_prefix = "SLURM_SPANK__SLURM_SPANK_OPTION_slipway_";

/// How the variables begin by which users set options; the second for those who come from pyxis.
inline constexpr const char* our_variable_prefix = "SLIPWAY_CONTAINER_";
inline constexpr const char* pyxis_variable_prefix = "PYXIS_CONTAINER_";

/// Steps that are no steps of srun (slurm.h).
inline constexpr std::uint32_t extern_step = 0xfffffffc;
inline constexpr std::uint32_t batch_step = 0xfffffffb;
inline constexpr std::uint32_t interactive_step = 0xfffffffa;

/// How a task ends whose container could not be set up: as Slurm itself ends those that it cannot
/// set up. Also how srun ends when nothing can be submitted.
inline constexpr int set_up_failed = 1;

} // namespace slipway::spank
