// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"
#include "spank/option_table.hpp"

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace slipway::spank {

const OptionRow& row_of(OptionId id) noexcept;
const OptionRow* row_named(std::string_view name) noexcept; ///< null when there is none

/// Collects values as they come, from any side, and trusts none of them. The last value of an
/// option wins; of two options that contradict each other the later one.
class Options {
  public:
    /// Never fails: values are looked at by check(), because a later one of the same option may replace
    /// them. Values longer than max_option_bytes are not kept. `variable` is what has set it, "" for an
    /// option.
    void take(OptionId id, std::string_view value, std::string variable = {});
    /// As Slurm calls it: null, "" and "(null)" mean that the option came without an argument.
    void take(OptionId id, const char* argument);

    [[nodiscard]] bool given(OptionId id) const noexcept;
    [[nodiscard]] bool any_given() const noexcept;
    [[nodiscard]] bool typed(OptionId id) const noexcept; ///< given, and by no variable
    /// What has set it, for messages: "--container-image", with the site's prefix for options, or the
    /// variable.
    [[nodiscard]] std::string source(OptionId id, std::string_view prefix) const;
    [[nodiscard]] std::string_view value(OptionId id) const noexcept;
    /// Somebody asked for a container, rightly spelt or not.
    [[nodiscard]] bool wants_container() const noexcept;
    /// Two options that were given and say the opposite of each other.
    [[nodiscard]] std::optional<std::pair<OptionId, OptionId>> contradiction() const;
    /// The first unusable value as an error, which names its source.
    [[nodiscard]] base::Result<void> check(std::string_view prefix = {}) const;
    /// The same error, else what is asked for; where the image is stays empty.
    [[nodiscard]] base::Result<Settings> settings(std::string_view prefix = {}) const;

  private:
    struct Entry {
        bool given = false;
        unsigned order = 0;
        std::string value; ///< empty when it is too long
        std::size_t size = 0;
        std::string variable; ///< empty: an option
    };
    [[nodiscard]] const Entry& entry(OptionId id) const noexcept;
    [[nodiscard]] Switch switch_of(const OptionRow& row) const;

    std::array<Entry, option_count> entries_;
    unsigned next_order_ = 1;
};

/// on/off, yes/no, y/n, true/false, 1/0, in any case.
base::Result<bool> parse_switch(std::string_view text);

/// The options that give these settings, each at most once and in table order: what is handed on to
/// nodes and to sruns inside.
std::vector<std::pair<OptionId, std::string>> canonical_options(const Settings& settings);

/// Settings as one word of printable characters (and back), for the job's environment. Where the
/// image is (`id` or `path`) first, then the canonical options. Decoding trusts nothing and checks
/// every value as an option again.
std::string encode_settings(const Settings& settings);
base::Result<Settings> decode_settings(std::string_view text);

/// "_SLURM_SPANK_OPTION_slipway_container_image" for the option of that name (with prefix).
std::string slurm_option_variable(const std::string& option_name);

/// What sruns in a job inherit from sbatch or salloc: the options of the whole job, not of this
/// srun.
std::string inherited_variable(const std::string& option_name);

/// Code::option_too_long; `source` is what has set a value of that many bytes.
base::Result<void> check_length(const std::string& source, std::size_t size);

/// Absolute, no control characters, not too long. For paths that somebody else vouches for.
base::Result<void> check_image_path(std::string_view path);

} // namespace slipway::spank
