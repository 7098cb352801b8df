// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

/// The program answers to other names, too, so that what was written for Singularity or Apptainer
/// (workflow engines above all) runs with it: called as one of them it gives a version that such
/// programs accept, and the variables of that product come first.
namespace slipway::cli {

/// Ours; the first of the list unless the program was called by another product's name.
inline constexpr std::string_view own_prefix = "SLIPWAY_";

/// Prefixes of option variables; the first one that has a variable wins.
std::span<const std::string_view> option_prefixes() noexcept;

/// One line, as --version prints it.
std::string version_line();
/// The version alone.
std::string version_number();

/// Name that the program was called by: slipway, singularity or apptainer.
std::string_view product_name() noexcept;
/// To be called once, by main(), with its argv[0]: other names than those of the products are slipway.
void set_product_name(std::string_view called_as) noexcept;

} // namespace slipway::cli
