// SPDX-License-Identifier: Apache-2.0
#include "squashfs/codec/decoder.hpp"
#include "squashfs/codec/encoder.hpp"

#include <catch2/catch.hpp>
#include <isa-l/igzip_lib.h>
#include <lz4.h>
#include <lzma.h>
#include <lzo/lzo1x.h>
#include <string>
#include <vector>
#include <zstd.h>

using namespace slipway::squashfs;
using namespace slipway::squashfs::codec;
using Bytes = std::vector<std::uint8_t>;

namespace {

Bytes sample() {
    Bytes out;
    std::uint32_t state = 1;
    for (int i = 0; i < 20000; ++i) {
        state = state * 1664525 + 1013904223;
        out.push_back(static_cast<std::uint8_t>("abcdefgh"[(state >> 24U) & 7U]));
    }
    return out;
}

Bytes gzip(const Bytes& in) {
    Bytes out(in.size() + 1000);
    isal_zstream stream;
    isal_deflate_stateless_init(&stream);
    stream.next_in = const_cast<std::uint8_t*>(in.data());
    stream.avail_in = static_cast<std::uint32_t>(in.size());
    stream.next_out = out.data();
    stream.avail_out = static_cast<std::uint32_t>(out.size());
    stream.gzip_flag = IGZIP_ZLIB;
    stream.end_of_stream = 1;
    REQUIRE(isal_deflate_stateless(&stream) == COMP_OK);
    out.resize(stream.total_out);
    return out;
}

Bytes lzma(const Bytes& in, bool alone) {
    Bytes out(in.size() + 1000);
    lzma_stream stream = LZMA_STREAM_INIT;
    lzma_options_lzma options;
    REQUIRE(lzma_lzma_preset(&options, 1) == 0);
    REQUIRE((alone ? lzma_alone_encoder(&stream, &options)
                   : lzma_easy_encoder(&stream, 1, LZMA_CHECK_CRC32)) == LZMA_OK);
    stream.next_in = in.data();
    stream.avail_in = in.size();
    stream.next_out = out.data();
    stream.avail_out = out.size();
    REQUIRE(lzma_code(&stream, LZMA_FINISH) == LZMA_STREAM_END);
    out.resize(stream.total_out);
    lzma_end(&stream);
    return out;
}

Bytes compress(Compressor kind, const Bytes& in) {
    Bytes out(in.size() + 1000);
    switch (kind) {
    case Compressor::gzip:
        return gzip(in);
    case Compressor::lzma:
    case Compressor::xz:
        return lzma(in, kind == Compressor::lzma);
    case Compressor::zstd:
        out.resize(ZSTD_compress(out.data(), out.size(), in.data(), in.size(), 3));
        return out;
    case Compressor::lz4:
        out.resize(static_cast<std::size_t>(LZ4_compress_default(
            reinterpret_cast<const char*>(in.data()), reinterpret_cast<char*>(out.data()),
            static_cast<int>(in.size()), static_cast<int>(out.size()))));
        return out;
    case Compressor::lzo: {
        Bytes work(LZO1X_1_MEM_COMPRESS);
        lzo_uint size = out.size();
        REQUIRE(lzo1x_1_compress(in.data(), in.size(), out.data(), &size, work.data()) == LZO_E_OK);
        out.resize(size);
        return out;
    }
    }
    return {};
}

} // namespace

TEST_CASE("every decoder restores what its compressor made, again and again") {
    const auto kind = GENERATE(Compressor::gzip, Compressor::lzma, Compressor::lzo, Compressor::xz,
                               Compressor::lz4, Compressor::zstd);
    CAPTURE(static_cast<int>(kind));
    const Bytes plain = sample();
    const Bytes packed = compress(kind, plain);
    const auto decoder = make_decoder(kind);
    REQUIRE(decoder);
    Bytes out(32768);
    for (int round = 0; round < 3; ++round) {
        const auto size = decoder->decompress(packed, out);
        REQUIRE(size);
        CHECK(Bytes(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(*size)) == plain);
    }

    SECTION("too little room is an error, and the decoder works again after it") {
        CHECK_FALSE(decoder->decompress(packed, std::span(out).first(plain.size() - 1)));
        CHECK_FALSE(decoder->decompress(packed, std::span(out).first(0)));
        CHECK(decoder->decompress(packed, std::span(out).first(plain.size())) == plain.size());
    }
    SECTION("a cut input is an error") {
        for (const std::size_t size : {std::size_t{0}, std::size_t{1}, packed.size() / 2}) {
            const auto got = decoder->decompress(std::span(packed).first(size), out);
            // lz4 has no end mark: a cut may look complete, but is shorter.
            CHECK((!got || *got < plain.size()));
        }
    }
    SECTION("random input never gets out of the buffer") {
        std::uint32_t state = 99;
        for (int round = 0; round < 500; ++round) {
            Bytes damaged = packed;
            for (int i = 0; i < 4; ++i) {
                state = state * 1664525 + 1013904223;
                damaged[state % damaged.size()] ^= static_cast<std::uint8_t>(1U << (state >> 29U));
            }
            const auto got = decoder->decompress(damaged, std::span(out).first(plain.size()));
            CHECK((!got || *got <= plain.size()));
        }
    }
}

TEST_CASE("what the encoder of every row makes at its levels, the decoder restores") {
    const Bytes plain = sample();
    for (const auto& row : compressors) {
        for (int level = -1; level <= 30; ++level) {
            CAPTURE(row.name, level);
            const auto encoder = make_encoder(row.id, level);
            REQUIRE((encoder != nullptr) == row.has_level(level));
            if (!encoder) {
                continue;
            }
            Bytes packed(plain.size());
            packed.resize(encoder->compress(plain, packed));
            CHECK(!packed.empty());
            Bytes out(plain.size());
            CHECK(make_decoder(row.id)->decompress(packed, out) == plain.size());
            CHECK(out == plain);
            CHECK(encoder->compress(plain, std::span(out).first(10)) == 0);
        }
    }
}
