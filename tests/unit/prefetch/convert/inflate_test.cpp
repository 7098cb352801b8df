// SPDX-License-Identifier: Apache-2.0
// gzip against zlib as the oracle; zstd against its own encoder.
#include "prefetch/convert/inflate.hpp"

#include <catch2/catch.hpp>

#include <random>
#include <string>
#include <vector>

#include <zlib.h>
#include <zstd.h>

using namespace slipway;
using namespace slipway::prefetch::convert;
using base::Code;

namespace {

std::string sample(std::size_t size, unsigned seed) {
    std::mt19937 random(seed);
    std::string out;
    while (out.size() < size) {
        // Runs, text and noise in turn.
        switch (random() % 3) {
        case 0:
            out.append(random() % 5000, static_cast<char>(random()));
            break;
        case 1:
            for (unsigned n = random() % 300; n > 0; --n) {
                out += "the quick brown fox ";
            }
            break;
        default:
            for (unsigned n = random() % 3000; n > 0; --n) {
                out += static_cast<char>(random());
            }
        }
    }
    out.resize(size);
    return out;
}

std::string gzip(const std::string& text, int level = 6) {
    z_stream stream{};
    REQUIRE(deflateInit2(&stream, level, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) == Z_OK);
    std::string out(deflateBound(&stream, text.size()), '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
}

std::string zstd(const std::string& text, int window_log = 0) {
    ZSTD_CCtx* context = ZSTD_createCCtx();
    if (window_log != 0) {
        ZSTD_CCtx_setParameter(context, ZSTD_c_enableLongDistanceMatching, 1);
        ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
        ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
    }
    std::string out(ZSTD_compressBound(text.size()) + 100, '\0');
    ZSTD_inBuffer in{text.data(), text.size(), 0};
    ZSTD_outBuffer target{out.data(), out.size(), 0};
    if (window_log != 0) {
        // Without this the encoder knows the size and makes the window no larger.
        REQUIRE(ZSTD_isError(ZSTD_compressStream2(context, &target, &in, ZSTD_e_continue)) == 0);
    }
    REQUIRE(ZSTD_compressStream2(context, &target, &in, ZSTD_e_end) == 0);
    out.resize(target.pos);
    ZSTD_freeCCtx(context);
    return out;
}

/// Inflates with input and output cut into pieces; the error's code when it fails.
base::Result<std::string> inflated(Packing packing, const std::string& packed, std::size_t in_piece,
                                   std::size_t out_piece) {
    const auto inflater = make_inflater(packing);
    std::string out;
    std::vector<std::uint8_t> buffer(out_piece);
    for (std::size_t at = 0; at < packed.size();) {
        const std::size_t size = std::min(in_piece, packed.size() - at);
        std::vector<std::uint8_t> piece(packed.begin() + static_cast<std::ptrdiff_t>(at),
                                        packed.begin() + static_cast<std::ptrdiff_t>(at + size));
        at += size;
        std::span<const std::uint8_t> in(piece);
        for (;;) {
            TRY_ASSIGN(const auto step, inflater->step(in, buffer));
            in = in.subspan(step.consumed);
            out.append(reinterpret_cast<const char*>(buffer.data()), step.produced);
            if (step.consumed == 0 && step.produced == 0) {
                break;
            }
        }
        REQUIRE(in.empty());
    }
    TRY(inflater->finish());
    return out;
}

} // namespace

TEST_CASE("gzip inflates like zlib however it is cut up") {
    for (unsigned seed = 1; seed <= 6; ++seed) {
        const std::string text = sample(seed * 40'000, seed);
        for (const int level : {0, 1, 6, 9}) {
            const std::string packed = gzip(text, level);
            for (const std::size_t in_piece : {1UL, 7UL, 4096UL, packed.size()}) {
                for (const std::size_t out_piece : {13UL, 65536UL}) {
                    if (in_piece == 1 && out_piece == 13 && seed > 1) {
                        continue;
                    }
                    const auto result = inflated(Packing::gzip, packed, in_piece, out_piece);
                    REQUIRE(result);
                    CHECK((*result == text));
                }
            }
        }
    }
}

TEST_CASE("gzip members follow each other, and what follows them is ignored") {
    const std::string a = sample(10'000, 11);
    const std::string b = sample(70'000, 12);
    for (const std::size_t piece : {1UL, 2UL, 3UL, 1000UL, 1UL << 20U}) {
        INFO(piece);
        const auto check = [&](const std::string& packed, const std::string& want) {
            const auto result = inflated(Packing::gzip, packed, piece, 5000);
            REQUIRE(result);
            CHECK((*result == want));
        };
        check(gzip(a) + gzip(b), a + b);
        check(gzip("") + gzip(a) + gzip("") + gzip(b), a + b);
        check(gzip(a) + std::string(777, '\0'), a);
        check(gzip(a) + "\x1f", a);
        check(gzip(a) + "\x1fx", a);
        check(gzip(a) + "garbage", a);
    }
}

TEST_CASE("damaged gzip is an error") {
    const std::string text = sample(50'000, 21);
    const std::string packed = gzip(text);
    for (const std::size_t cut : {1UL, 5UL, 10UL, 11UL, 100UL, packed.size() / 2, packed.size() - 9,
                                  packed.size() - 8, packed.size() - 4, packed.size() - 1}) {
        INFO(cut);
        const auto result = inflated(Packing::gzip, packed.substr(0, cut), 997, 4096);
        REQUIRE_FALSE(result);
        CHECK(result.error().code == Code::layer_invalid);
    }
    std::mt19937 random(5);
    for (int i = 0; i < 300; ++i) {
        std::string damaged = packed;
        const std::size_t at = random() % damaged.size();
        damaged[at] = static_cast<char>(damaged[at] ^ (1U << (random() % 8)));
        const auto result = inflated(Packing::gzip, damaged, 4096, 4096);
        // Flags, time and operating system of the header are not covered by any checksum.
        if (result && at >= 10) {
            CHECK((*result == text));
        }
    }
    CHECK_FALSE(inflated(Packing::gzip, gzip(text) + gzip(text).substr(0, 100), 4096, 4096));
}

TEST_CASE("zstd inflates frames, and refuses windows over 128 MiB") {
    const std::string a = sample(100'000, 31);
    const std::string b = sample(300'000, 32);
    const std::string skippable("\x50\x2a\x4d\x18\x04\0\0\0skip", 12);
    for (const std::size_t piece : {1UL, 3UL, 4096UL, 1UL << 20U}) {
        const auto result =
            inflated(Packing::zstd, skippable + zstd(a) + skippable + zstd(b) + skippable, piece, 8192);
        REQUIRE(result);
        CHECK((*result == a + b));
    }
    CHECK((*inflated(Packing::zstd, zstd(a, 27), 4096, 4096) == a));
    const auto wide = inflated(Packing::zstd, zstd(a, 28), 4096, 4096);
    REQUIRE_FALSE(wide);
    CHECK(wide.error().code == Code::limit_exceeded);
    const std::string packed = zstd(a);
    for (const std::size_t cut : {3UL, 10UL, packed.size() / 2, packed.size() - 1}) {
        CHECK_FALSE(inflated(Packing::zstd, packed.substr(0, cut), 100, 4096));
    }
    CHECK_FALSE(inflated(Packing::zstd, packed + "trailing", 4096, 4096));
}

TEST_CASE("the first bytes say how a layer is packed") {
    const auto sniffed = [](std::string_view head) {
        return sniff_packing({reinterpret_cast<const std::uint8_t*>(head.data()), head.size()});
    };
    using namespace std::string_view_literals;
    CHECK(*sniffed("\x1f\x8b\x08\0\0\0"sv) == Packing::gzip);
    CHECK(*sniffed("\x28\xb5\x2f\xfd\0\0"sv) == Packing::zstd);
    CHECK(*sniffed("\x53\x2a\x4d\x18\0\0"sv) == Packing::zstd);
    CHECK(*sniffed("etc/passwd\0"sv) == Packing::plain);
    CHECK(*sniffed(""sv) == Packing::plain);
    CHECK(sniffed("\xfd"
                  "7zXZ\0"sv)
              .error()
              .code == Code::unsupported);
    CHECK(sniffed("BZh91A"sv).error().code == Code::unsupported);
}
