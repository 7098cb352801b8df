// SPDX-License-Identifier: Apache-2.0
#include "base/format.hpp"
#include "base/text.hpp"
#include "base/words.hpp"
#include "image/architecture.hpp"
#include "image/oci.hpp"

#include <sys/utsname.h>

#include <algorithm>
#include <iterator>
#include <optional>

namespace slipway::image {
namespace {

using base::Code;
using base::fail;

bool is_plain_word(std::string_view text) noexcept {
    return !text.empty() && text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._-") ==
                                std::string_view::npos;
}

/// The variants of arm that a machine of `variant` runs, best first; for others just the one.
std::vector<std::string> usable_variants(const Platform& wanted) {
    static const std::vector<std::string> arm = {"v8", "v7", "v6", "v5"};
    if (wanted.architecture != "arm") {
        return {wanted.variant};
    }
    const auto from = std::find(arm.begin(), arm.end(), wanted.variant);
    return from == arm.end() ? std::vector<std::string>{wanted.variant}
                             : std::vector<std::string>(from, arm.end());
}

/// What an entry says about its platform, normalised; a platform without a system is one of Linux.
std::optional<Platform> stated_platform(const Descriptor& entry) {
    if (!entry.platform || (entry.platform->os.empty() && entry.platform->architecture.empty())) {
        return std::nullopt;
    }
    auto platform = normalise(*entry.platform);
    if (platform.os.empty()) {
        platform.os = "linux";
    }
    return platform;
}

std::string list_platforms(const Index& index) {
    std::vector<std::string> seen;
    for (const auto& entry : index.manifests) {
        const auto platform = stated_platform(entry);
        if (!platform) {
            continue;
        }
        auto text = platform->text();
        // Attestations of build tools call themselves unknown/unknown.
        if (text != "unknown/unknown" && std::find(seen.begin(), seen.end(), text) == seen.end()) {
            seen.push_back(std::move(text));
        }
    }
    if (seen.empty()) {
        return "the image names no platforms at all";
    }
    std::string list;
    for (std::size_t i = 0; i < seen.size() && i < 20; ++i) {
        list += i == 0 ? seen[i] : ", " + seen[i];
    }
    return "there is: " + list + (seen.size() > 20 ? ", …" : "");
}

} // namespace

std::string Platform::text() const {
    return os + "/" + architecture + (variant.empty() ? "" : "/" + variant);
}

Platform normalise(Platform platform) {
    platform.os = base::to_lower(platform.os);
    platform.architecture = base::to_lower(platform.architecture);
    platform.variant = base::to_lower(platform.variant);
    if (platform.os == "macos") {
        platform.os = "darwin";
    }
    auto& architecture = platform.architecture;
    auto& variant = platform.variant;
    if (variant.empty()) {
        variant = architecture == "armhf" || architecture == "armv7l"   ? "v7"
                  : architecture == "armel" || architecture == "armv6l" ? "v6"
                  : architecture == "armv5l"                            ? "v5"
                                                                        : "";
    }
    if (const auto known = architecture_from_machine(architecture); known != unknown_architecture) {
        architecture = std::string(known);
    }
    // "7" and "v7" mean the same.
    if (!variant.empty() && variant.find_first_not_of("0123456789") == std::string::npos) {
        variant.insert(variant.begin(), 'v');
    }
    if (architecture == "arm64" && variant == "v8") {
        variant.clear();
    } else if (architecture == "amd64" && variant == "v1") {
        variant.clear();
    } else if (architecture == "arm" && variant.empty()) {
        variant = "v7";
    }
    return platform;
}

Result<Platform> parse_platform(std::string_view text) {
    const auto parts = base::split(text, '/');
    const auto bad = [&](std::string_view why) {
        return fail(Code::option_invalid,
                    fmt::format("{} is not a platform: {}", base::in_quotes(text), why),
                    "write for example linux/amd64, linux/arm64 or linux/arm/v7");
    };
    if (parts.size() > 3) {
        return bad("it has more than three parts");
    }
    Platform platform;
    if (parts.size() == 1) {
        platform.os = "linux";
        platform.architecture = std::string(parts[0]);
    } else {
        platform.os = std::string(parts[0]);
        platform.architecture = std::string(parts[1]);
        platform.variant = parts.size() == 3 ? std::string(parts[2]) : std::string();
        if (parts.size() == 3 && parts[2].empty()) {
            return bad("the variant is empty");
        }
    }
    platform = normalise(std::move(platform));
    if (!is_plain_word(platform.os) || !is_plain_word(platform.architecture) ||
        (!platform.variant.empty() && !is_plain_word(platform.variant))) {
        return bad("a part is empty or has characters that do not belong there");
    }
    if (platform.os != "linux") {
        return fail(Code::platform_mismatch,
                    fmt::format("platform {} is not Linux", base::in_quotes(platform.text())),
                    "only Linux images can run here");
    }
    if (architecture_from_machine(platform.architecture) == unknown_architecture) {
        return bad(fmt::format("the architecture {} is not known",
                               base::in_quotes(platform.architecture)));
    }
    return platform;
}

Platform host_platform() {
    utsname names{};
    Platform platform{
        .os = "linux", .architecture = host_architecture(), .variant = {}, .os_version = {}};
    if (platform.architecture == "arm" && ::uname(&names) == 0) {
        const std::string_view machine = names.machine;
        platform.variant = machine.starts_with("armv6")   ? "v6"
                           : machine.starts_with("armv5") ? "v5"
                                                          : "v7";
    }
    return normalise(std::move(platform));
}

bool platform_matches(const Platform& wanted_raw, const Platform& offered_raw) {
    const auto wanted = normalise(wanted_raw);
    const auto offered = normalise(offered_raw);
    const auto fits = [](const std::string& want, const std::string& have) {
        return want.empty() || want == have;
    };
    return fits(wanted.os, offered.os) && fits(wanted.architecture, offered.architecture) &&
           fits(wanted.variant, offered.variant) && fits(wanted.os_version, offered.os_version);
}

std::vector<Descriptor> unlabelled_entries(const Index& index) {
    std::vector<Descriptor> entries;
    std::copy_if(index.manifests.begin(), index.manifests.end(), std::back_inserter(entries),
                 [](const Descriptor& entry) { return !stated_platform(entry); });
    return entries;
}

Result<Descriptor> select_platform(const Index& index, const Platform& wanted_raw) {
    const auto wanted = normalise(wanted_raw);
    for (const auto& variant : usable_variants(wanted)) {
        auto want = wanted;
        want.variant = variant;
        const Descriptor* loose = nullptr;
        for (const auto& entry : index.manifests) {
            const auto offered = stated_platform(entry);
            if (!offered || !platform_matches(want, *offered)) {
                continue;
            }
            // amd64 asked and amd64/v3 listed first: the plain amd64 further down runs everywhere.
            if (offered->variant == want.variant) {
                return entry;
            }
            loose = loose == nullptr ? &entry : loose;
        }
        if (loose != nullptr) {
            return *loose;
        }
    }
    return fail(Code::platform_mismatch,
                fmt::format("the image has nothing for the platform {}", wanted.text()),
                list_platforms(index));
}

} // namespace slipway::image
