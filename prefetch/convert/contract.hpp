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

/// What goes into a conversion, or the check of a finished image, and what comes out, whoever does
/// it: this process (convert.hpp, finished_file.hpp) or one of its own (isolated.hpp).
namespace slipway::prefetch::convert {

/// What goes into an image besides its layers.
struct NativeParts {
    std::string deffile;
    std::string inspect_metadata;
    std::string oci_config;
    std::string architecture; ///< GOARCH of the root file system
    std::uint32_t time = 0;   ///< of all that we add: seconds since 1970
    std::vector<image::NativeEntry> tree;
};

/// `source` is what the definition file in the image says. Callers give a form that depends on the
/// image alone where they want equal images for equal manifests.
NativeParts native_parts(const image::NativeSource& source, const image::ImageConfig& config);

struct ConvertInput {
    std::vector<image::LayerInput> layers; ///< bottom first
    NativeParts native;
};

/// What a hostile image may not exceed. Every excess is Code::limit_exceeded.
struct ConvertLimits {
    std::size_t layers = 1024;
    /// Entries of all layers together, and as many files and directories, those included that only
    /// parts of a path name.
    std::uint64_t entries = 20'000'000;
    std::uint64_t image_bytes = 200ULL << 30U; ///< tar bytes; file content, holes included
    std::uint64_t ratio = 1000;                        ///< tar bytes per blob byte, beyond 1 GiB
    std::size_t path_bytes = 4096;
    std::size_t depth = 256;                           ///< folders on a path
};

struct ConvertOptions {
    squashfs::Compressor compressor = squashfs::default_compressor;
    std::optional<int> level;               ///< the default of the compressor when not given
    std::uint32_t block_size = 128U << 10U; ///< a power of two, 4 KiB to 1 MiB
    unsigned threads = 0;                   ///< that compress; 0: one for each usable CPU
    /// Bytes, for buffers and for all that the content of layers asks for (budget.hpp); 32 MiB for
    /// the latter at least.
    std::uint64_t memory = 512ULL << 20U;
    bool keep_owners = false;               ///< else everything belongs to 0:0
    bool readable_by_all = false; ///< gives group and others what the owner may read and search
    ConvertLimits limits;
    std::stop_token stop;       ///< ends the conversion with Code::interrupted
    bool digest_output = false; ///< fill ConvertReport::output
};

/// Threads that compress.
unsigned thread_count(const ConvertOptions& options) noexcept;

/// What a finished image has to be. `name` is what the user called it.
struct FinishedCheck {
    std::string name;
    std::uint64_t size = 0;   ///< bytes
    std::string architecture; ///< GOARCH that is wanted; a file that declares none fits
};

enum class ConvertPhase : std::uint8_t { layers, second_visits, tables };

/// Receives the progress. Calls come from several threads at once and must be quick.
struct ProgressSink {
    virtual ~ProgressSink() = default;
    /// `bytes` more of this layer's blob were read (layers count from 0, bottom first).
    virtual void layer_bytes(std::size_t /*layer*/, std::uint64_t /*bytes*/) noexcept {}
    virtual void phase(ConvertPhase /*phase*/) noexcept {}
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

} // namespace slipway::prefetch::convert
