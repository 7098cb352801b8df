// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"
#include "prefetch/convert/window_gate.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace slipway::prefetch::convert {

/// How a layer blob is packed, by its first bytes and never by its media type: builders are
/// known to mislabel layers, and the digests say whether the bytes are the right ones.
enum class Packing : std::uint8_t { plain, gzip, zstd };

/// Code::unsupported for xz, bzip2 and encrypted blobs. Anything else that is not gzip or zstd is
/// taken for a plain tar. `head` holds the first bytes, 6 or more unless the blob is shorter.
base::Result<Packing> sniff_packing(std::span<const std::uint8_t> head);

/// Turns packed bytes into plain ones, step by step.
class Inflater {
  public:
    struct Step {
        std::size_t consumed = 0;
        std::size_t produced = 0;
    };

    virtual ~Inflater() = default;

    /// Uses some of `in` and fills some of `out`. When both counts are 0 it needs more input.
    /// Damaged input is Code::layer_invalid, a zstd window over 128 MiB Code::limit_exceeded.
    virtual base::Result<Step> step(std::span<const std::uint8_t> in,
                                    std::span<std::uint8_t> out) = 0;

    /// The input is at its end; Code::layer_invalid when it was cut off.
    virtual base::Result<void> finish() = 0;
};

/// `windows` is asked before zstd takes memory for a large window.
std::unique_ptr<Inflater> make_inflater(Packing packing, WindowPass windows = {});

/// gzip (RFC 1952): any number of members; zeros and other bytes behind the last one are ignored.
/// Uses Intel's ISA-L, about three times as fast as zlib. One file holds every use of it.
std::unique_ptr<Inflater> make_gzip_inflater();

/// zstd (RFC 8878): any number of frames, skippable ones included.
std::unique_ptr<Inflater> make_zstd_inflater(WindowPass windows = {});

} // namespace slipway::prefetch::convert
