// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <compare>
#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

namespace slipway::image {

using base::Result;

/// A content digest as OCI writes it: "sha256:<64 lower-case hex>" or "sha512:<128 lower-case
/// hex>". A default-made Digest is empty; every other one is valid, so its text is safe as a file
/// name part and in URLs.
class Digest {
  public:
    Digest() = default;

    /// Strict: known algorithm, exact length, lower-case hex. Code::reference_invalid otherwise.
    static Result<Digest> parse(std::string_view text);

    [[nodiscard]] const std::string& text() const noexcept { return text_; }
    [[nodiscard]] std::string_view algorithm() const noexcept; ///< "sha256"; "" when empty
    [[nodiscard]] std::string_view hex() const noexcept;       ///< without "sha256:"
    [[nodiscard]] bool empty() const noexcept { return text_.empty(); }

    friend bool operator==(const Digest&, const Digest&) = default;
    friend std::strong_ordering operator<=>(const Digest&, const Digest&) = default;

  private:
    friend class Hasher;
    explicit Digest(std::string text) : text_(std::move(text)) {}
    std::string text_;
};

/// Hashes bytes as they come. Not copyable, not shared between threads.
class Hasher {
  public:
    enum class Algorithm { sha256, sha512 };

    explicit Hasher(Algorithm algorithm = Algorithm::sha256);
    /// The algorithm of `expected`, so that the result can be compared with it.
    explicit Hasher(const Digest& expected);
    Hasher(Hasher&& other) noexcept;
    Hasher& operator=(Hasher&& other) noexcept;
    Hasher(const Hasher&) = delete;
    Hasher& operator=(const Hasher&) = delete;
    ~Hasher();

    void update(std::span<const std::uint8_t> bytes) noexcept;
    void update(std::string_view bytes) noexcept;

    /// The digest of everything so far; the hasher then starts again from nothing. An empty Digest
    /// (which equals no expected one) when the crypto library failed at any point.
    [[nodiscard]] Digest finish();

  private:
    struct Context;
    void start() noexcept;
    std::unique_ptr<Context> context_;
};

/// SHA-256, the common case.
class Sha256 : public Hasher {
  public:
    Sha256() : Hasher(Algorithm::sha256) {}
};

/// Digest of bytes in memory.
Digest sha256(std::string_view bytes);
Digest sha256(std::span<const std::uint8_t> bytes);

/// 64 lower-case hex characters, without "sha256:".
std::string sha256_hex(std::string_view bytes);

/// Digest of `size` bytes of a file from `offset` on (pread, position untouched); end of file
/// before that is Code::io. Code::interrupted on `stop`.
Result<Digest> sha256_of_file(int fd, std::uint64_t offset, std::uint64_t size,
                              const std::stop_token& stop = {});

/// Code::digest_mismatch when they differ; `what` names the object ("layer 3", "manifest of X").
Result<void> require_digest(const Digest& actual, const Digest& expected, std::string_view what);

} // namespace slipway::image
