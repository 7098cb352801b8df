// SPDX-License-Identifier: Apache-2.0
#include "prefetch/convert/tar_reader.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "prefetch/convert/tar_header.hpp"
#include "prefetch/convert/tar_numbers.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace slipway::prefetch::convert {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::size_t block_size = 512;

std::uint64_t padding_of(std::uint64_t size) noexcept {
    return (block_size - size % block_size) % block_size;
}

bool all_zero(const std::uint8_t* raw) noexcept {
    return std::all_of(raw, raw + block_size, [](std::uint8_t byte) { return byte == 0; });
}

/// Text of a header field: up to the first NUL.
std::string_view text_field(const std::uint8_t* raw, std::size_t at, std::size_t size) noexcept {
    const auto* begin = reinterpret_cast<const char*>(raw + at);
    return {begin, strnlen(begin, size)};
}

/// The sum of all bytes with the checksum field as blanks. Old tools added signed bytes.
bool checksum_matches(const std::uint8_t* raw) {
    std::int64_t as_unsigned = 0;
    std::int64_t as_signed = 0;
    for (std::size_t i = 0; i < block_size; ++i) {
        const std::uint8_t byte = i >= 148 && i < 156 ? ' ' : raw[i];
        as_unsigned += byte;
        as_signed += static_cast<std::int8_t>(byte);
    }
    const auto stored = parse_tar_number({raw + 148, 8});
    return stored && (*stored == as_unsigned || *stored == as_signed);
}

bool is_vendor_type(char type) noexcept {
    return type >= 'A' && type <= 'Z';
}

} // namespace

base::Unexpected TarReader::invalid(std::string_view why) const {
    if (current_.empty()) {
        return fail(Code::layer_invalid, fmt::format("the tar archive is damaged: {}", why));
    }
    return fail(Code::layer_invalid,
                fmt::format("the tar archive is damaged at entry {}: {}", base::in_quotes(current_),
                            why));
}

/// The next 512 bytes; null at the end of the input. Part of a block is an error.
Result<const std::uint8_t*> TarReader::block() {
    if (rest_.size() >= block_size) {
        const std::uint8_t* here = rest_.data();
        rest_ = rest_.subspan(block_size);
        return here;
    }
    std::size_t have = 0;
    while (have < block_size) {
        if (rest_.empty()) {
            if (!input_ended_) {
                TRY_ASSIGN(rest_, input_.next());
                input_ended_ = rest_.empty();
            }
            if (input_ended_) {
                break;
            }
        }
        const std::size_t part = std::min(block_size - have, rest_.size());
        std::memcpy(joined_.data() + have, rest_.data(), part);
        rest_ = rest_.subspan(part);
        have += part;
    }
    if (have == 0) {
        return nullptr;
    }
    if (have < block_size) {
        return invalid("it ends in the middle of a block");
    }
    return joined_.data();
}

/// Up to `max` bytes of the current entry's stored content, never across its end.
Result<std::span<const std::uint8_t>> TarReader::stored_piece(std::uint64_t max) {
    if (rest_.empty() && !input_ended_) {
        TRY_ASSIGN(rest_, input_.next());
        input_ended_ = rest_.empty();
    }
    if (rest_.empty()) {
        return invalid(fmt::format("it ends {} bytes before the end of this entry", stored_));
    }
    const auto size = static_cast<std::size_t>(
        std::min<std::uint64_t>({rest_.size(), stored_, max}));
    const auto piece = rest_.first(size);
    rest_ = rest_.subspan(size);
    stored_ -= size;
    return piece;
}

Result<void> TarReader::finish_entry() {
    while (stored_ > 0) {
        TRY(stored_piece(UINT64_MAX));
    }
    // Padding that is missing at the very end harms nobody.
    while (padding_ > 0 && !(rest_.empty() && input_ended_)) {
        if (rest_.empty()) {
            TRY_ASSIGN(rest_, input_.next());
            input_ended_ = rest_.empty();
            continue;
        }
        const auto part =
            static_cast<std::size_t>(std::min<std::uint64_t>(padding_, rest_.size()));
        rest_ = rest_.subspan(part);
        padding_ -= part;
    }
    padding_ = 0;
    return {};
}

/// The content of an extension header, whole.
Result<std::string> TarReader::small_payload(std::uint64_t size, std::size_t max,
                                             std::string_view what) {
    if (size > max) {
        return fail(Code::limit_exceeded,
                    fmt::format("a {} of {} bytes in the layer is over the limit of {} bytes", what,
                                size, max));
    }
    stored_ = size;
    padding_ = padding_of(size);
    std::string out;
    out.reserve(static_cast<std::size_t>(size));
    while (stored_ > 0) {
        TRY_ASSIGN(const auto piece, stored_piece(UINT64_MAX));
        out.append(reinterpret_cast<const char*>(piece.data()), piece.size());
    }
    TRY(finish_entry());
    return out;
}

void TarReader::forget_extensions() {
    local_.clear();
    sparse_points_.clear();
    have_long_name_ = have_long_link_ = false;
}

Result<bool> TarReader::next(TarEntry& entry) {
    TRY(finish_entry());
    forget_extensions();
    current_.clear();
    bool extended = false;
    for (;;) {
        Header header;
        TRY_ASSIGN(const bool more, read_header(header));
        if (!more) {
            if (extended) {
                return invalid("it ends after an extension header");
            }
            return false;
        }
        TRY_ASSIGN(const bool extension, take_extension(header));
        if (extension) {
            extended = true;
            continue;
        }
        TRY_ASSIGN(const bool wanted, build(header, entry));
        if (wanted) {
            return true;
        }
        ++notes_.skipped_entries;
        TRY(finish_entry());
        forget_extensions();
        extended = false;
    }
}

Result<bool> TarReader::read_header(Header& header) {
    if (archive_ended_) {
        return false;
    }
    TRY_ASSIGN(const std::uint8_t* raw, block());
    if (raw != nullptr && all_zero(raw)) {
        TRY_ASSIGN(raw, block());
        if (raw != nullptr && !all_zero(raw)) {
            ++notes_.lone_zero_blocks;
        } else {
            raw = nullptr;
        }
    }
    if (raw == nullptr) {
        archive_ended_ = true;
        return false;
    }
    if (++headers_ > limits_.headers) {
        return fail(Code::limit_exceeded,
                    fmt::format("the layer has more than {} headers", limits_.headers),
                    "ask for a higher limit (limits.entries)");
    }
    TRY(decode(raw, header));
    return true;
}

Result<void> TarReader::decode(const std::uint8_t* raw, Header& header) const {
    if (!checksum_matches(raw)) {
        return invalid("a header has a wrong checksum");
    }
    std::memcpy(header.raw.data(), raw, block_size);
    header.type = static_cast<char>(raw[156]);
    const bool ustar = std::memcmp(raw + 257, "ustar\0", 6) == 0;
    header.gnu = std::memcmp(raw + 257, "ustar  \0", 8) == 0;
    const bool star = ustar && std::memcmp(raw + 508, "tar\0", 4) == 0;
    header.name = text_field(raw, 0, 100);
    header.link = text_field(raw, 157, 100);
    if (ustar) {
        const auto prefix = text_field(raw, 345, star ? 131 : 155);
        if (!prefix.empty()) {
            header.name = std::string(prefix) + "/" + header.name;
        }
    }
    const auto number = [&](std::size_t at, std::size_t size, std::int64_t& out) -> Result<void> {
        TRY_ASSIGN(out, parse_tar_number(header.field(at, size)));
        return {};
    };
    TRY(number(100, 8, header.mode));
    TRY(number(108, 8, header.uid));
    TRY(number(116, 8, header.gid));
    TRY(number(124, 12, header.size));
    TRY(number(136, 12, header.mtime));
    if (header.size < 0) {
        return invalid("a header has a negative size");
    }
    return {};
}

/// True when the header only describes the one that follows.
Result<bool> TarReader::take_extension(const Header& header) {
    const auto size = static_cast<std::uint64_t>(header.size);
    switch (header.type) {
    case 'x':
    case 'g': {
        TRY_ASSIGN(const std::string text, small_payload(size, limits_.pax_bytes, "pax header"));
        TRY(take_records(text, header.type == 'g'));
        return true;
    }
    case 'L':
    case 'K': {
        TRY_ASSIGN(std::string text,
                   small_payload(size, limits_.long_name_bytes, "GNU long name"));
        text.resize(strnlen(text.data(), text.size()));
        (header.type == 'L' ? long_name_ : long_link_) = std::move(text);
        (header.type == 'L' ? have_long_name_ : have_long_link_) = true;
        return true;
    }
    default:
        return false;
    }
}

Result<void> TarReader::take_records(std::string_view text, bool global) {
    TRY_ASSIGN(const auto records, parse_pax_records(text));
    if (!global) {
        local_.clear();
        sparse_points_.clear();
    }
    for (const auto& [key, value] : records) {
        if (key == "GNU.sparse.offset" || key == "GNU.sparse.numbytes") {
            // Format 0.0 repeats its keys, which no other record does.
            TRY_ASSIGN(const std::uint64_t number, base::parse_u64(value, INT64_MAX));
            if (key == "GNU.sparse.offset") {
                if (sparse_points_.size() == limits_.sparse_pieces) {
                    return fail(Code::limit_exceeded,
                                "a sparse file in the layer has too many pieces");
                }
                sparse_points_.push_back({number, 0});
            } else if (!sparse_points_.empty()) {
                sparse_points_.back().size = number;
            }
            continue;
        }
        if (key == "path" || key == "linkpath" || key == "GNU.sparse.name") {
            if (value.find('\0') != std::string_view::npos) {
                return invalid("a pax header has a name with a NUL byte");
            }
        }
        if (global) {
            TRY(take_global(key, value));
        } else {
            local_[std::string(key)] = value;
        }
    }
    return {};
}

/// A default for all entries to come. They add up over the whole archive.
Result<void> TarReader::take_global(std::string_view key, std::string_view value) {
    auto found = global_.find(key);
    if (found == global_.end()) {
        found = global_.emplace(std::string(key), std::string()).first;
        global_bytes_ += key.size();
    }
    global_bytes_ = global_bytes_ - found->second.size() + value.size();
    if (global_bytes_ > limits_.pax_bytes) {
        return fail(Code::limit_exceeded,
                    fmt::format("the global pax headers in the layer are over the limit of {} bytes",
                                limits_.pax_bytes));
    }
    found->second = value;
    return {};
}

/// The value of a pax key for this entry; null when there is none. An empty value deletes.
const std::string* TarReader::pax(std::string_view key) const {
    if (const auto found = local_.find(key); found != local_.end()) {
        return found->second.empty() ? nullptr : &found->second;
    }
    if (const auto found = global_.find(key); found != global_.end()) {
        return found->second.empty() ? nullptr : &found->second;
    }
    return nullptr;
}

/// False for a member that is not part of a file system and is left out.
Result<bool> TarReader::build(Header& header, TarEntry& entry) {
    entry.xattrs.clear();
    entry.size = 0;
    entry.device_major = entry.device_minor = 0;
    sparse_ = false;
    map_.clear();
    TRY(apply_names(header, entry));
    current_ = entry.path;
    TRY(apply_numbers(header, entry));
    TRY_ASSIGN(const bool wanted, apply_type(header, entry));
    if (!wanted) {
        stored_ = static_cast<std::uint64_t>(header.size);
        padding_ = padding_of(stored_);
        return false;
    }
    TRY(apply_xattrs(entry));
    TRY(start_content(header, entry));
    current_ = entry.path; // a sparse header may have given the real name
    return true;
}

Result<void> TarReader::apply_names(const Header& header, TarEntry& entry) const {
    entry.path = header.name;
    entry.link = header.link;
    if (const auto* path = pax("path")) {
        entry.path = *path;
    }
    if (const auto* link = pax("linkpath")) {
        entry.link = *link;
    }
    if (have_long_name_) {
        entry.path = long_name_;
    }
    if (have_long_link_) {
        entry.link = long_link_;
    }
    return {};
}

Result<void> TarReader::apply_numbers(Header& header, TarEntry& entry) const {
    const auto decimal = [&](std::string_view key, std::int64_t& out) -> Result<void> {
        if (const auto* text = pax(key)) {
            const auto value = base::parse_u64(*text, INT64_MAX);
            if (!value) {
                return invalid(fmt::format("pax {} is not a number", key));
            }
            out = static_cast<std::int64_t>(*value);
        }
        return {};
    };
    TRY(decimal("size", header.size));
    TRY(decimal("uid", header.uid));
    TRY(decimal("gid", header.gid));
    if (const auto* text = pax("mtime")) {
        // Seconds with an optional sign and fraction; only whole seconds can be stored.
        const char* end = text->data() + std::min(text->size(), text->find('.'));
        const auto [stop, error] = std::from_chars(text->data(), end, header.mtime);
        if (error != std::errc{} || stop != end) {
            return invalid("pax mtime is not a number");
        }
    }
    if (header.uid < 0 || header.gid < 0) {
        return invalid("its owner is negative");
    }
    entry.mode = static_cast<std::uint16_t>(header.mode & 07777);
    entry.uid = static_cast<std::uint64_t>(header.uid);
    entry.gid = static_cast<std::uint64_t>(header.gid);
    entry.mtime = header.mtime;
    return {};
}

Result<bool> TarReader::apply_type(const Header& header, TarEntry& entry) {
    switch (header.type) {
    case '\0': // v7 knew no directories: a trailing slash says so
        entry.type = entry.path.ends_with('/') ? EntryType::directory : EntryType::file;
        break;
    case '0':
    case '7': // contiguous: a file like any other
    case 'S': // GNU sparse
        entry.type = EntryType::file;
        break;
    case '1':
        entry.type = EntryType::hard_link;
        break;
    case '2':
        entry.type = EntryType::symlink;
        break;
    case '3':
        entry.type = EntryType::char_device;
        break;
    case '4':
        entry.type = EntryType::block_device;
        break;
    case '5':
    case 'D': // GNU dump directory: a directory with a list of names, which is skipped
        entry.type = EntryType::directory;
        break;
    case '6':
        entry.type = EntryType::fifo;
        break;
    case 'M':
        return invalid("it continues another volume");
    default:
        if (is_vendor_type(header.type)) {
            return false;
        }
        return invalid(fmt::format("its type 0x{:02x} is unknown",
                                   static_cast<unsigned>(static_cast<unsigned char>(header.type))));
    }
    if (header.type == '3' || header.type == '4') {
        TRY_ASSIGN(const std::int64_t major, parse_tar_number(header.field(329, 8)));
        TRY_ASSIGN(const std::int64_t minor, parse_tar_number(header.field(337, 8)));
        if (major < 0 || major > 0xfff || minor < 0 || minor > 0xfffff) {
            return invalid("its device number is out of range");
        }
        entry.device_major = static_cast<std::uint32_t>(major);
        entry.device_minor = static_cast<std::uint32_t>(minor);
    }
    return true;
}

Result<void> TarReader::start_content(const Header& header, TarEntry& entry) {
    // Links, devices and directories have no content whatever their size field says; only a GNU
    // dump directory brings some.
    const bool has_content = entry.type == EntryType::file || header.type == 'D';
    stored_ = has_content ? static_cast<std::uint64_t>(header.size) : 0;
    padding_ = padding_of(stored_);
    piece_ = 0;
    piece_done_ = position_ = 0;
    if (entry.type == EntryType::file) {
        entry.size = stored_;
        if (header.type == 'S') {
            TRY(sparse_old(header, entry));
        } else {
            TRY(sparse_pax(entry));
        }
    }
    logical_ = entry.size;
    return {};
}

Result<TarReader::Content> TarReader::content() {
    if (!sparse_) {
        if (stored_ == 0) {
            return Content{};
        }
        TRY_ASSIGN(const auto data, stored_piece(UINT64_MAX));
        return Content{data, 0};
    }
    while (piece_ < map_.size() && piece_done_ == map_[piece_].size) {
        ++piece_;
        piece_done_ = 0;
    }
    const bool more = piece_ < map_.size();
    const std::uint64_t data_at = more ? map_[piece_].offset + piece_done_ : logical_;
    if (position_ < data_at) {
        const std::uint64_t hole = data_at - position_;
        position_ = data_at;
        return Content{{}, hole};
    }
    if (!more) {
        return Content{};
    }
    TRY_ASSIGN(const auto data, stored_piece(map_[piece_].size - piece_done_));
    piece_done_ += data.size();
    position_ += data.size();
    return Content{data, 0};
}

Result<void> TarReader::drain() {
    rest_ = {};
    while (!input_ended_) {
        TRY_ASSIGN(rest_, input_.next());
        input_ended_ = rest_.empty();
    }
    return {};
}

} // namespace slipway::prefetch::convert
