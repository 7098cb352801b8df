// SPDX-License-Identifier: Apache-2.0
#include "image/digest.hpp"

#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/text.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <vector>

namespace slipway::image {
namespace {

using base::Code;
using base::fail;

struct Known {
    std::string_view name;
    std::size_t hex_length;
};
constexpr Known algorithms[] = {{"sha256", 64}, {"sha512", 128}};

bool is_lower_hex(std::string_view text) noexcept {
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

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
            if (!is_lower_hex(hex)) {
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

struct Hasher::Context {
    EVP_MD_CTX* evp = EVP_MD_CTX_new();
    Algorithm algorithm = Algorithm::sha256;
    bool ok = true;

    Context() = default;
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;
    ~Context() { EVP_MD_CTX_free(evp); }
};

Hasher::Hasher(Algorithm algorithm) : context_(std::make_unique<Context>()) {
    context_->algorithm = algorithm;
    start();
}

Hasher::Hasher(const Digest& expected)
    : Hasher(expected.algorithm() == "sha512" ? Algorithm::sha512 : Algorithm::sha256) {}

Hasher::Hasher(Hasher&& other) noexcept = default;
Hasher& Hasher::operator=(Hasher&& other) noexcept = default;
Hasher::~Hasher() = default;

void Hasher::start() noexcept {
    const EVP_MD* kind = context_->algorithm == Algorithm::sha512 ? EVP_sha512() : EVP_sha256();
    context_->ok = context_->evp != nullptr && EVP_DigestInit_ex(context_->evp, kind, nullptr) == 1;
}

void Hasher::update(std::span<const std::uint8_t> bytes) noexcept {
    if (context_->ok && !bytes.empty()) {
        context_->ok = EVP_DigestUpdate(context_->evp, bytes.data(), bytes.size()) == 1;
    }
}

void Hasher::update(std::string_view bytes) noexcept {
    update(std::span(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()));
}

Digest Hasher::finish() {
    std::uint8_t value[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    const bool ok = context_->ok && EVP_DigestFinal_ex(context_->evp, value, &length) == 1;
    const char* name = context_->algorithm == Algorithm::sha512 ? "sha512:" : "sha256:";
    start();
    return ok ? Digest(name + base::to_hex(std::span(value, length))) : Digest();
}

Digest sha256(std::string_view bytes) {
    Sha256 hasher;
    hasher.update(bytes);
    return hasher.finish();
}

Digest sha256(std::span<const std::uint8_t> bytes) {
    Sha256 hasher;
    hasher.update(bytes);
    return hasher.finish();
}

std::string sha256_hex(std::string_view bytes) {
    return std::string(sha256(bytes).hex());
}

base::Result<Digest> sha256_of_file(int fd, std::uint64_t offset, std::uint64_t size) {
    constexpr std::size_t chunk = std::size_t{256} * 1024;
    std::vector<std::uint8_t> buffer(
        static_cast<std::size_t>(std::min<std::uint64_t>(chunk, size)));
    Sha256 hasher;
    while (size > 0) {
        const auto part = std::span(buffer).first(
            static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), size)));
        TRY(base::read_exact_at(fd, part, offset));
        hasher.update(part);
        offset += part.size();
        size -= part.size();
    }
    return hasher.finish();
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
