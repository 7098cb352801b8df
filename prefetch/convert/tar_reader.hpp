// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace slipway::prefetch::convert {

/// Where a TarReader gets its bytes.
struct TarInput {
    virtual ~TarInput() = default;
    /// The next piece of the archive, valid until the next call; empty at the end.
    virtual base::Result<std::span<const std::uint8_t>> next() = 0;
};

enum class EntryType : std::uint8_t {
    file,
    directory,
    symlink,
    hard_link,
    char_device,
    block_device,
    fifo,
};

/// One member of an archive, with every extension header already applied. Names are bytes as the
/// archive has them: not cleaned, but without NUL.
struct TarEntry {
    std::string path;
    std::string link; ///< target of a symlink or hard link
    EntryType type = EntryType::file;
    std::uint16_t mode = 0; ///< 12 bits
    std::uint64_t uid = 0;
    std::uint64_t gid = 0;
    std::int64_t mtime = 0; ///< seconds since 1970, fractions cut off
    std::uint32_t device_major = 0;
    std::uint32_t device_minor = 0;
    std::uint64_t size = 0; ///< of a file's content, holes included; 0 for every other type
    std::vector<std::pair<std::string, std::string>> xattrs; ///< sorted by name
};

struct TarLimits {
    std::size_t pax_bytes = 1U << 20U;       ///< one pax header
    std::size_t long_name_bytes = 64U << 10U; ///< one GNU long name
    std::size_t xattr_value_bytes = 64U << 10U;
    std::size_t xattr_entry_bytes = 1U << 20U; ///< names and values of one entry
    std::size_t sparse_pieces = 1U << 20U;
    /// Headers of all kinds, those included that only describe others or are left out.
    std::uint64_t headers = UINT64_MAX;
};

/// Oddities that were tolerated.
struct TarNotes {
    std::uint64_t lone_zero_blocks = 0;
    std::uint64_t skipped_entries = 0; ///< volume labels, vendor types, sockets
};

/// Reads a tar archive front to back: v7, ustar, star, GNU (long names, sparse files) and pax
/// (local and global headers, three sparse formats). Trusts nothing: every length is bounded, and
/// an archive that contradicts itself is Code::layer_invalid (Code::limit_exceeded for the limits).
/// Errors name the entry. Rules: POSIX.1-2017 pax, the GNU tar manual, and where they leave a choice
/// what Go's archive/tar does, since umoci and Docker read layers with it.
class TarReader {
  public:
    explicit TarReader(TarInput& input, TarLimits limits = {}) : input_(input), limits_(limits) {}

    /// The next member; skips what is left of the previous one. False at the end of the archive:
    /// two zero blocks, or the end of the input where a header could begin.
    base::Result<bool> next(TarEntry& entry);

    /// A part of a file: bytes, or the size of a hole (never expanded, so that a terabyte of nothing
    /// costs nothing). Both empty at the end of the file.
    struct Content {
        std::span<const std::uint8_t> data; ///< valid until the next call
        std::uint64_t hole = 0;
        [[nodiscard]] bool at_end() const noexcept { return data.empty() && hole == 0; }
    };

    /// The next part of the current file's content.
    base::Result<Content> content();

    /// Reads and drops everything to the end of the input (padding behind the archive).
    base::Result<void> drain();

    [[nodiscard]] const TarNotes& notes() const noexcept { return notes_; }

  private:
    struct Piece {
        std::uint64_t offset = 0;
        std::uint64_t size = 0;
    };
    struct Header; // one 512-byte block, decoded
    using Records = std::map<std::string, std::string, std::less<>>;

    base::Result<const std::uint8_t*> block();
    base::Result<std::string> small_payload(std::uint64_t size, std::size_t max,
                                            std::string_view what);
    base::Result<std::span<const std::uint8_t>> stored_piece(std::uint64_t max);
    base::Result<void> finish_entry();
    void forget_extensions();
    base::Result<bool> read_header(Header& header);
    base::Result<void> decode(const std::uint8_t* raw, Header& header) const;
    base::Result<bool> take_extension(const Header& header);
    base::Result<void> take_records(std::string_view text, bool global);
    base::Result<void> take_global(std::string_view key, std::string_view value);
    base::Result<bool> build(Header& header, TarEntry& entry);
    base::Result<bool> apply_type(const Header& header, TarEntry& entry);
    base::Result<void> apply_names(const Header& header, TarEntry& entry) const;
    base::Result<void> apply_numbers(Header& header, TarEntry& entry) const;
    base::Result<void> apply_xattrs(TarEntry& entry) const;
    base::Result<void> start_content(const Header& header, TarEntry& entry);
    base::Result<void> sparse_old(const Header& header, TarEntry& entry);
    base::Result<void> sparse_pax(TarEntry& entry);
    base::Result<void> sparse_map_in_data();
    base::Result<void> check_map(std::uint64_t logical_size) const;
    [[nodiscard]] const std::string* pax(std::string_view key) const;
    [[nodiscard]] base::Unexpected invalid(std::string_view why) const;

    TarInput& input_;
    TarLimits limits_;
    TarNotes notes_;
    std::span<const std::uint8_t> rest_; ///< of the piece that input_ gave last
    bool input_ended_ = false;
    bool archive_ended_ = false;
    std::array<std::uint8_t, 512> joined_{}; ///< a block that lay across two pieces

    std::uint64_t headers_ = 0; ///< read so far
    Records global_;            ///< from pax 'g' headers
    std::size_t global_bytes_ = 0; ///< of their keys and values
    Records local_;  ///< from a pax 'x' header, for one entry
    std::vector<Piece> sparse_points_; ///< pax sparse 0.0, in order
    std::string long_name_;
    std::string long_link_;
    bool have_long_name_ = false;
    bool have_long_link_ = false;

    std::string current_;       ///< path of the current entry, for messages
    std::uint64_t stored_ = 0;  ///< bytes of the current entry still in the archive
    std::uint64_t padding_ = 0; ///< after them
    std::vector<Piece> map_;    ///< sparse map of the current file; empty: not sparse
    bool sparse_ = false;
    std::size_t piece_ = 0;        ///< index into map_
    std::uint64_t piece_done_ = 0; ///< bytes of map_[piece_] already given
    std::uint64_t position_ = 0;   ///< logical position in a sparse file
    std::uint64_t logical_ = 0;    ///< logical size of the current file
};

} // namespace slipway::prefetch::convert
