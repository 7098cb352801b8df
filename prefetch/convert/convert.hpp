// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "image/layer_input.hpp"
#include "image/native.hpp"
#include "image/oci.hpp"
#include "squashfs/compressors.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

/// The converter: OCI layers in, one SIF out, in a single streaming pass without any temporary
/// files. docs/formats/convert.md says how it works; image-spec layer.md and umoci say what the
/// result must be.
namespace slipway::prefetch::convert {

struct ConvertInput {
    std::vector<image::LayerInput> layers; ///< bottom first
    image::ImageConfig config;
    /// What the definition file in the image says. Callers give a form that depends on the image
    /// alone where they want equal images for equal manifests.
    image::NativeSource source;
};

/// What a hostile image may not exceed. Every excess is Code::limit_exceeded.
struct ConvertLimits {
    std::size_t layers = 1024;
    std::uint64_t entries = 20'000'000;                ///< of all layers together
    std::uint64_t image_bytes = 200ULL << 30U;         ///< tar bytes; file content, holes included
    std::uint64_t ratio = 1000;                        ///< tar bytes per blob byte, beyond 1 GiB
    std::size_t path_bytes = 4096;
    std::size_t depth = 256;                           ///< folders on a path
};

struct ConvertOptions {
    squashfs::Compressor compressor = squashfs::default_compressor;
    std::optional<int> level;               ///< the default of the compressor when not given
    std::uint32_t block_size = 128U << 10U; ///< a power of two, 4 KiB to 1 MiB
    unsigned threads = 0;                   ///< that compress; 0: one for each usable CPU
    std::uint64_t memory = 512ULL << 20U;   ///< bytes, for buffers; names and inodes come on top
    bool keep_owners = false;               ///< else everything belongs to 0:0
    bool readable_by_all = false; ///< gives group and others what the owner may read and search
    ConvertLimits limits;
    std::stop_token stop;       ///< ends the conversion with Code::interrupted
    bool digest_output = false; ///< fill ConvertReport::output
};

enum class ConvertPhase : std::uint8_t { layers, second_visits, tables };

/// Told how it goes. Calls come from several threads at once and must be quick.
struct ProgressSink {
    virtual ~ProgressSink() = default;
    /// `bytes` more of this layer's blob were read (layers count from 0, bottom first).
    virtual void layer_bytes(std::size_t layer, std::uint64_t bytes) noexcept;
    virtual void phase(ConvertPhase phase) noexcept;
};

struct ConvertReport {
    std::uint64_t image_bytes = 0;     ///< size of the SIF
    std::uint64_t blob_bytes = 0;      ///< read, second visits included
    std::uint64_t tar_bytes = 0;       ///< the same, unpacked
    std::uint64_t entries = 0;         ///< of all layers
    std::uint64_t inodes = 0;          ///< in the image
    std::uint64_t masked_files = 0;    ///< left out because an upper layer hides them
    std::uint64_t masked_bytes = 0;
    std::uint64_t dead_bytes = 0;      ///< content that was written and then turned out hidden
    std::uint64_t second_visits = 0;   ///< layers read twice
    std::uint64_t duplicate_files = 0; ///< stored once
    std::uint64_t duplicate_bytes = 0;
    std::vector<std::string> warnings; ///< for people, one line each
    image::Digest output;              ///< of the SIF, if asked for
};

/// Converts into `out_fd`, an empty regular file opened for reading and writing, which the caller
/// owns and, on success, publishes. On failure the file is emptied.
///
/// Equal input, options (threads and memory aside) and build give equal bytes. Needs no privilege.
/// Errors name the layer and, where there is one, the entry: Code::digest_mismatch (blob or diff id),
/// layer_invalid, media_type, unsupported (a compression), limit_exceeded, out_of_space, interrupted,
/// usage (options), or what a source reports.
base::Result<ConvertReport> convert(const ConvertInput& input, const ConvertOptions& options,
                                    int out_fd, ProgressSink& progress);

} // namespace slipway::prefetch::convert
