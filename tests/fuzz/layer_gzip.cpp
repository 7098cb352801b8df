// SPDX-License-Identifier: Apache-2.0
// What ISA-L makes of gzip members must be what zlib makes of them.
#include "prefetch/convert/inflate.hpp"

#include <array>
#include <cstdlib>
#include <string>

#include <zlib.h>

using namespace slipway::prefetch::convert;

namespace {

constexpr std::size_t most = 4U << 20U;

/// False when zlib finds the data damaged or cut off. Members, zeros and other bytes behind them as
/// in our own rules.
bool by_zlib(std::span<const std::uint8_t> in, std::string& out) {
    for (;;) {
        z_stream stream{};
        if (inflateInit2(&stream, 15 + 16) != Z_OK) {
            std::abort();
        }
        stream.next_in = const_cast<Bytef*>(in.data());
        stream.avail_in = static_cast<uInt>(in.size());
        int status = Z_OK;
        while (status == Z_OK && out.size() < most) {
            std::array<std::uint8_t, 16384> buffer;
            stream.next_out = buffer.data();
            stream.avail_out = buffer.size();
            status = inflate(&stream, Z_NO_FLUSH);
            out.append(reinterpret_cast<const char*>(buffer.data()), buffer.size() - stream.avail_out);
        }
        in = in.subspan(in.size() - stream.avail_in);
        inflateEnd(&stream);
        if (status != Z_STREAM_END) {
            return false;
        }
        if (in.size() < 2 || in[0] != 0x1f || in[1] != 0x8b) {
            return true;
        }
    }
}

bool by_us(std::span<const std::uint8_t> in, std::size_t piece, std::string& out) {
    const auto inflater = make_gzip_inflater();
    std::array<std::uint8_t, 5000> buffer;
    while (!in.empty()) {
        auto part = in.first(std::min(piece, in.size()));
        in = in.subspan(part.size());
        for (;;) {
            const auto step = inflater->step(part, buffer);
            if (!step) {
                return false;
            }
            part = part.subspan(step->consumed);
            out.append(reinterpret_cast<const char*>(buffer.data()), step->produced);
            if (out.size() >= most || (step->consumed == 0 && step->produced == 0)) {
                break;
            }
        }
        if (out.size() >= most) {
            return true;
        }
    }
    return inflater->finish().has_value();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // Only what sniff_packing() would give to gzip.
    if (size < 3 || data[1] != 0x1f || data[2] != 0x8b) {
        return 0;
    }
    const std::span<const std::uint8_t> blob(data + 1, size - 1);
    std::string ours;
    std::string theirs;
    const bool good = by_us(blob, data[0] + 1U, ours);
    const bool zlib_good = by_zlib(blob, theirs);
    if (ours.size() >= most || theirs.size() >= most) {
        return 0;
    }
    // Where zlib reads the data, ours are the same; damage that only one of the two refuses may be
    // in header fields that are reserved.
    if (good && zlib_good && ours != theirs) {
        std::abort();
    }
    if (zlib_good && !good) {
        std::abort();
    }
    return 0;
}
