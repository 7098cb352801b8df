// SPDX-License-Identifier: Apache-2.0
#include "image/digest.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "base/words.hpp"

#include <algorithm>

namespace slipway::image {
namespace {

using base::Code;
using base::fail;

struct Known {
    std::string_view name;
    std::size_t hex_length;
};
constexpr Known algorithms[] = {{"sha256", 64}, {"sha512", 128}};

} // namespace

base::Result<Digest> Digest::parse(std::string_view text) {
    const auto bad = [&](std::string why) {
        return fail(Code::reference_invalid,
                    fmt::format("{} is not a digest: {}", base::in_quotes(text), why),
                    "a digest looks like sha256: and 64 lower-case hexadecimal digits");
    };
    const auto colon = text.find(':');
    if (colon == std::string_view::npos) {
        return bad("there is no ':' after the algorithm");
    }
    const auto name = text.substr(0, colon);
    const auto hex = text.substr(colon + 1);
    for (const auto& known : algorithms) {
        if (known.name == name) {
            if (hex.size() != known.hex_length) {
                return bad(fmt::format("{} needs {} digits, here are {}", name, known.hex_length,
                                       hex.size()));
            }
            if (!base::is_lower_hex(hex)) {
                return bad("only 0-9 and a-f are allowed");
            }
            return Digest(std::string(text));
        }
    }
    return bad(fmt::format("the algorithm {} is not known here", base::in_quotes(name)));
}

std::string_view Digest::algorithm() const noexcept {
    return std::string_view(text_).substr(0, std::min(text_.find(':'), text_.size()));
}

std::string_view Digest::hex() const noexcept {
    const auto colon = text_.find(':');
    return colon == std::string::npos ? std::string_view()
                                      : std::string_view(text_).substr(colon + 1);
}

base::Result<void> require_digest(const Digest& actual, const Digest& expected,
                                  std::string_view what) {
    if (!actual.empty() && actual == expected) {
        return {};
    }
    return fail(Code::digest_mismatch,
                fmt::format("{} has digest {}, expected {}", what,
                            actual.empty() ? "(none)" : actual.text(), expected.text()),
                "the transfer was damaged or the other side sent something else; try again");
}

} // namespace slipway::image
