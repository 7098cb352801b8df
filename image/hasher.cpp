// SPDX-License-Identifier: Apache-2.0
// The only file that uses OpenSSL. Apart from the digest type, so that a program that only reads
// names and image files does not load 5 MB of libcrypto at every start.
#include "base/fd.hpp"
#include "base/text.hpp"
#include "image/digest.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <vector>

namespace slipway::image {

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

base::Result<Digest> sha256_of_file(int fd, std::uint64_t offset, std::uint64_t size,
                                    const std::stop_token& stop) {
    constexpr std::size_t chunk = std::size_t{256} * 1024;
    std::vector<std::uint8_t> buffer(
        static_cast<std::size_t>(std::min<std::uint64_t>(chunk, size)));
    Sha256 hasher;
    while (size > 0) {
        if (stop.stop_requested()) {
            return base::fail(base::Code::interrupted, "interrupted");
        }
        const auto part = std::span(buffer).first(
            static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), size)));
        TRY(base::read_exact_at(fd, part, offset));
        hasher.update(part);
        offset += part.size();
        size -= part.size();
    }
    return hasher.finish();
}

} // namespace slipway::image
