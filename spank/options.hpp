// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"
#include "launcher/join/request.hpp"
#include "spank/option_table.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace slipway::spank {

using launcher::Switch;

/// Longest option value. Slurm copies values into environments of root's programs; near 128 KiB
/// those can no longer be started, and a failing prolog drains the node.
inline constexpr std::size_t max_option_bytes = 4096;

const OptionRow& row_of(OptionId id) noexcept;
const OptionRow* row_named(std::string_view name) noexcept; ///< null when there is none

/// What all options together ask for.
struct Settings {
    std::string image; ///< as typed, or pinned by staging; empty: no container
    std::string path;  ///< absolute path of the image on the node; empty until it has been resolved
    std::string mounts;
    std::string workdir;
    std::vector<std::string> environment; ///< names whose host value wins over the image's
    Switch mount_home = Switch::site_default;
    Switch writable = Switch::site_default;
    Switch batch = Switch::site_default;

    [[nodiscard]] bool wants_container() const noexcept { return !image.empty(); }
};

/// Collects values as they come, from any side, and trusts none of them. The last value of an
/// option wins; of two options that contradict each other the later one.
class Options {
  public:
    /// Never fails: an unusable value is remembered as the option's error until a later value of
    /// the same option replaces it. Values longer than max_option_bytes are not kept.
    void take(OptionId id, std::string_view value);
    /// As Slurm calls it: null, "" and "(null)" mean that the option came without an argument.
    void take(OptionId id, const char* argument);

    [[nodiscard]] bool given(OptionId id) const noexcept;
    [[nodiscard]] std::string_view value(OptionId id) const noexcept;
    /// Somebody asked for a container, rightly spelt or not.
    [[nodiscard]] bool wants_container() const noexcept;
    /// The first unusable value as an error, else what is asked for. path is empty.
    [[nodiscard]] base::Result<Settings> settings() const;

  private:
    struct Entry {
        bool given = false;
        unsigned order = 0;
        std::string value;
        std::optional<base::Error> error;
    };
    [[nodiscard]] const Entry& entry(OptionId id) const noexcept;
    [[nodiscard]] Switch later_of(OptionId positive, OptionId negative) const;

    std::array<Entry, option_count> entries_;
    unsigned next_order_ = 1;
};

/// on/off, yes/no, y/n, true/false, 1/0, in any case.
base::Result<bool> parse_switch(std::string_view text);

/// The options that give these settings, each at most once and in table order: what is handed on to
/// nodes and to sruns inside. `image` is what the image option shall say.
std::vector<std::pair<OptionId, std::string>> canonical_options(const Settings& settings,
                                                                const std::string& image);

/// Settings as one word of printable characters (and back), for the job's environment. `path`
/// first, then the canonical options. Decoding trusts nothing and checks every value as an option
/// again.
std::string encode_settings(const Settings& settings);
base::Result<Settings> decode_settings(std::string_view text);

/// "_SLURM_SPANK_OPTION_slipway_container_image" for the option of that name (with prefix).
std::string slurm_option_variable(const std::string& option_name);

/// What sruns in a job inherit from sbatch or salloc: the options of the whole job, not of this srun.
std::string inherited_variable(const std::string& option_name);

/// Absolute, no control characters, not too long. For paths that somebody else vouches for.
base::Result<void> check_image_path(std::string_view path);

} // namespace slipway::spank
