// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The Singularity Image Format: a 128-byte header, a table of 585-byte descriptors and the objects
/// they describe, all little-endian and packed. Sizes and offsets are bytes from the start of the
/// file, times seconds since 1970.
namespace slipway::image {

using base::Result;

enum class SifType : std::int32_t {
    deffile = 0x4001,
    environment = 0x4002,
    labels = 0x4003,
    partition = 0x4004,
    signature = 0x4005,
    generic_json = 0x4006,
    generic = 0x4007,
    crypto_message = 0x4008,
    sbom = 0x4009,
    oci_root_index = 0x400A,
    oci_blob = 0x400B,
};
enum class SifFs : std::int32_t {
    none = 0, ///< not a partition
    squashfs = 1,
    ext3 = 2,
    archive = 3,
    raw = 4,
    encrypted_squashfs = 5, ///< LUKS2
    gocryptfs = 6,          ///< Apptainer only
};
enum class SifPart : std::int32_t {
    none = 0,
    system = 1,
    primary = 2, ///< the root file system; at most one in a file
    data = 3,
    overlay = 4,
};

inline constexpr std::size_t sif_header_size = 128;
inline constexpr std::size_t sif_descriptor_size = 585;
inline constexpr std::uint64_t sif_table_offset = 4096;
inline constexpr std::uint64_t sif_default_descriptors = 48;
inline constexpr std::uint64_t sif_partition_alignment = 4096;
inline constexpr std::uint32_t sif_group_flag = 0xF0000000;
/// "No time" of reproducible files: the first second of year 1.
inline constexpr std::int64_t sif_zero_time = -62135596800;
inline constexpr std::string_view sif_launch_line = "#!/usr/bin/env run-singularity\n";

using SifUuid = std::array<std::uint8_t, 16>;

struct SifObject {
    SifType type = SifType::generic;
    std::uint32_t id = 0;     ///< 1-based
    std::uint32_t group = 0;  ///< without the flag bits; 0 means none
    std::uint32_t linked = 0; ///< 0 none, an object id, or sif_group_flag | group
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
    std::uint64_t size_with_padding = 0;
    std::int64_t created = 0;
    std::int64_t modified = 0;
    std::int64_t uid = 0;
    std::int64_t gid = 0;
    std::string name; ///< without its NUL padding
    std::array<std::uint8_t, 384> extra{};

    [[nodiscard]] SifFs fs() const noexcept;     ///< SifFs::none unless a partition
    [[nodiscard]] SifPart part() const noexcept; ///< SifPart::none unless a partition
    /// GOARCH of a partition, "unknown" otherwise.
    [[nodiscard]] std::string_view architecture() const noexcept;
};

struct SifInfo {
    std::string launch_script; ///< up to its NUL
    std::string arch_code;     ///< of the header, informational
    SifUuid uuid{};
    std::int64_t created = 0;
    std::int64_t modified = 0;
    std::uint64_t descriptors_free = 0;
    std::uint64_t descriptors_total = 0;
    std::uint64_t table_offset = 0;
    std::uint64_t data_offset = 0;
    std::uint64_t data_size = 0;
    std::uint64_t file_size = 0;
    std::vector<SifObject> objects; ///< used descriptors, in table order

    [[nodiscard]] const SifObject* find(SifType type) const noexcept; ///< first of that type
    [[nodiscard]] const SifObject* find_named(SifType type, std::string_view name) const noexcept;
    [[nodiscard]] const SifObject* primary() const noexcept; ///< root file system partition
    [[nodiscard]] bool is_oci_sif() const noexcept {
        return find(SifType::oci_root_index) != nullptr;
    }
};

/// True when these first bytes of a file (48 or more) are those of a SIF.
bool looks_like_sif(std::string_view head) noexcept;

/// Reads header and table of a file of `file_size` bytes with pread(2) alone. Every used
/// object is checked to lie inside the file. Code::image_format when this is no SIF or one of an
/// unknown version, Code::image_corrupt when it is damaged or cut off.
Result<SifInfo> read_sif(int fd, std::uint64_t file_size);

/// Content of one object; larger than `max` is Code::limit_exceeded.
Result<std::string> read_sif_object(int fd, const SifObject& object, std::size_t max);

/// The definition file, and the metadata of native images; "" when the file has none.
Result<std::string> read_deffile(int fd, const SifInfo& sif);
Result<std::string> read_inspect_metadata(int fd, const SifInfo& sif);

inline constexpr std::string_view inspect_metadata_name = "inspect-metadata.json";
inline constexpr std::string_view oci_config_name = "oci-config.json";

/// The first bytes of a SIF with these facts: header and table, exactly as they stand in a file
/// (128 bytes, hole, table). `objects` keep their ids.
std::string encode_sif_head(const SifInfo& sif);

/// Writes a SIF into an empty file in one pass, with the root file system as the last object and
/// written by the caller:
///   1. add() the deffile and the JSON objects,
///   2. write the file system at partition_offset() (anything may be written behind it),
///   3. finish() with its size: cuts the file there and writes header and table.
/// Until finish() the file begins with zeros and nobody takes it for an image. Does not own the fd.
class SifWriter {
  public:
    struct Options {
        /// Nil UUID and no times, so that equal input gives equal bytes. Otherwise a random UUID
        /// and the time of the call.
        bool reproducible = true;
    };
    SifWriter(int fd, Options options);

    /// Appends an object of group 1. At most 47 objects (Code::limit_exceeded).
    Result<void> add(SifType type, std::string_view name, std::string_view content);

    /// Where the file system must begin: a multiple of 4096. Fixed by the objects added so far;
    /// add() after the first call is Code::internal.
    std::uint64_t partition_offset();

    /// `goarch` unknown to SIF is stored as "00".
    Result<void> finish(std::uint64_t partition_size, std::string_view goarch,
                        SifFs fs = SifFs::squashfs);

  private:
    SifObject next_object(SifType type, std::uint64_t offset, std::uint64_t size) const;
    int fd_;
    Options options_;
    std::int64_t time_;
    std::uint64_t end_; ///< end of the last object
    std::uint64_t partition_at_ = 0;
    std::vector<SifObject> objects_;
};

} // namespace slipway::image
