// SPDX-License-Identifier: Apache-2.0
#include "cli/product.hpp"

#include "base/format.hpp"
#include "base/path.hpp"
#include "cli/version.hpp"

#include <array>

namespace slipway::cli {
namespace {

struct Product {
    std::string_view name;
    std::string_view speaks_as; ///< what --version begins with
    std::string_view version;   ///< of theirs that we stand in for; "" for ours
    std::array<std::string_view, 3> prefixes;
};

constexpr std::array products{
    Product{"slipway", "slipway", "", {own_prefix, "APPTAINER_", "SINGULARITY_"}},
    Product{"singularity", "singularity-ce version", "4.1.0",
            {"SINGULARITY_", own_prefix, "APPTAINER_"}},
    Product{"apptainer", "apptainer version", "1.4.0", {"APPTAINER_", own_prefix, "SINGULARITY_"}},
};

const Product* product = &products.front();

} // namespace

void set_product_name(std::string_view called_as) noexcept {
    for (const auto& each : products) {
        if (base::base_name(called_as) == each.name) {
            product = &each;
        }
    }
}

std::string_view product_name() noexcept {
    return product->name;
}

std::span<const std::string_view> option_prefixes() noexcept {
    return product->prefixes;
}

/// Ours follows as PEP 440 and semantic versioning have it: programs that compare numbers stop
/// before the plus sign, those that take the last word get one word.
std::string version_number() {
    return product->version.empty() ? std::string(version_text)
                                    : fmt::format("{}+slipway.{}", product->version, version_text);
}

std::string version_line() {
    return fmt::format("{} {}", product->speaks_as, version_number());
}

} // namespace slipway::cli
