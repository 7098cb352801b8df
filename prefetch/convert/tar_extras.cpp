// SPDX-License-Identifier: Apache-2.0
// Sparse files and extended attributes of tar archives.
#include "base/base64.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "base/words.hpp"
#include "prefetch/convert/tar_header.hpp"
#include "prefetch/convert/tar_numbers.hpp"

#include <algorithm>
#include <charconv>

namespace slipway::prefetch::convert {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::string_view schily = "SCHILY.xattr.";
constexpr std::string_view libarchive = "LIBARCHIVE.xattr.";
constexpr std::size_t longest_xattr_name = 255; // XATTR_NAME_MAX of Linux

std::string url_decoded(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '%' && i + 2 < text.size() && base::hex_value(text[i + 1]) >= 0 &&
            base::hex_value(text[i + 2]) >= 0) {
            out += static_cast<char>(base::hex_value(text[i + 1]) * 16 + base::hex_value(text[i + 2]));
            i += 2;
        } else {
            out += text[i];
        }
    }
    return out;
}

} // namespace

Result<void> TarReader::apply_xattrs(TarEntry& entry) const {
    std::map<std::string, std::string> found;
    const auto take = [&](const std::string& key, const std::string& value) -> Result<void> {
        if (key.starts_with(schily)) {
            found[key.substr(schily.size())] = value;
        } else if (key.starts_with(libarchive)) {
            auto decoded = base::base64_decode(value);
            if (!decoded) {
                return invalid("an extended attribute is not base64");
            }
            // SCHILY, when both are there, is the same attribute without any encoding.
            found.try_emplace(url_decoded(key.substr(libarchive.size())), std::move(*decoded));
        }
        return {};
    };
    for (const auto& [key, value] : local_) {
        if (!value.empty()) {
            TRY(take(key, value));
        }
    }
    for (const auto& [key, value] : global_) {
        if (!value.empty() && !local_.contains(key)) {
            TRY(take(key, value));
        }
    }
    std::size_t total = 0;
    for (auto& [name, value] : found) {
        total += name.size() + value.size();
        if (name.empty() || name.size() > longest_xattr_name ||
            name.find('\0') != std::string::npos) {
            return invalid("an extended attribute has an impossible name");
        }
        if (value.size() > limits_.xattr_value_bytes || total > limits_.xattr_entry_bytes) {
            return fail(Code::limit_exceeded,
                        fmt::format("extended attribute {} of entry {} is too large",
                                    base::in_quotes(name), base::in_quotes(entry.path)));
        }
        entry.xattrs.emplace_back(name, std::move(value));
    }
    return {};
}

/// Pieces in order, none overlapping, all inside the file, and together exactly what is stored.
Result<void> TarReader::check_map(std::uint64_t logical_size) const {
    std::uint64_t end = 0;
    std::uint64_t data = 0;
    for (const auto& piece : map_) {
        if (piece.offset < end || piece.offset > logical_size ||
            piece.size > logical_size - piece.offset) {
            return invalid("its map of holes contradicts itself");
        }
        end = piece.offset + piece.size;
        data += piece.size;
    }
    if (data != stored_) {
        return invalid("its map of holes does not fit its size");
    }
    return {};
}

/// GNU's own sparse format: four entries in the header, 21 in each block that follows.
Result<void> TarReader::sparse_old(const Header& header, TarEntry& entry) {
    if (!header.gnu) {
        return invalid("a sparse file needs a GNU header");
    }
    const auto take = [&](std::span<const std::uint8_t> field) -> Result<bool> {
        if (field[0] == 0) {
            return false; // an unused entry
        }
        TRY_ASSIGN(const std::int64_t offset, parse_tar_number(field.first(12)));
        TRY_ASSIGN(const std::int64_t size, parse_tar_number(field.subspan(12, 12)));
        if (offset < 0 || size < 0) {
            return invalid("its map of holes has a negative number");
        }
        map_.push_back({static_cast<std::uint64_t>(offset), static_cast<std::uint64_t>(size)});
        return true;
    };
    for (std::size_t i = 0; i < 4; ++i) {
        TRY(take(header.field(386 + i * 24, 24)));
    }
    bool extended = header.raw[482] != 0;
    while (extended) {
        if (map_.size() > limits_.sparse_pieces) {
            return fail(Code::limit_exceeded, "a sparse file in the layer has too many pieces");
        }
        TRY_ASSIGN(const std::uint8_t* raw, block());
        if (raw == nullptr) {
            return invalid("it ends in a map of holes");
        }
        for (std::size_t i = 0; i < 21; ++i) {
            TRY(take({raw + i * 24, 24}));
        }
        extended = raw[504] != 0;
    }
    TRY_ASSIGN(const std::int64_t real_size, parse_tar_number(header.field(483, 12)));
    if (real_size < 0) {
        return invalid("its real size is negative");
    }
    sparse_ = true;
    entry.size = static_cast<std::uint64_t>(real_size);
    return check_map(entry.size);
}

/// The three pax formats 0.0, 0.1 and 1.0; nothing happens for a file that is not sparse.
Result<void> TarReader::sparse_pax(TarEntry& entry) {
    const std::string* major = pax("GNU.sparse.major");
    const std::string* map = pax("GNU.sparse.map");
    if (major == nullptr && map == nullptr && sparse_points_.empty()) {
        return {};
    }
    const bool in_data = major != nullptr && *major == "1";
    if (major != nullptr && *major != "0" && *major != "1") {
        return invalid("its sparse format is unknown");
    }
    const std::string* size = pax(in_data ? "GNU.sparse.realsize" : "GNU.sparse.size");
    if (size == nullptr) {
        size = pax("GNU.sparse.realsize");
    }
    if (size == nullptr) {
        return invalid("a sparse file does not say its size");
    }
    const auto real_size = base::parse_u64(*size, INT64_MAX);
    if (!real_size) {
        return invalid("the size of a sparse file is not a number");
    }
    if (const auto* name = pax("GNU.sparse.name")) {
        entry.path = *name;
    }
    if (in_data) {
        TRY(sparse_map_in_data());
    } else if (map != nullptr) {
        const auto numbers = base::split(*map, ',');
        if (numbers.size() % 2 != 0 || numbers.size() / 2 > limits_.sparse_pieces) {
            return invalid("its map of holes is malformed");
        }
        for (std::size_t i = 0; i < numbers.size(); i += 2) {
            const auto offset = base::parse_u64(numbers[i], INT64_MAX);
            const auto bytes = base::parse_u64(numbers[i + 1], INT64_MAX);
            if (!offset || !bytes) {
                return invalid("its map of holes is not made of numbers");
            }
            map_.push_back({*offset, *bytes});
        }
    } else {
        map_ = sparse_points_;
    }
    sparse_ = true;
    entry.size = *real_size;
    return check_map(entry.size);
}

/// Format 1.0: decimal numbers, one a line, in front of the data, padded to a whole block.
Result<void> TarReader::sparse_map_in_data() {
    std::string line;
    std::uint64_t used = 0;
    const auto number = [&]() -> Result<std::uint64_t> {
        line.clear();
        for (;;) {
            if (stored_ == 0) {
                return invalid("its map of holes is cut off");
            }
            TRY_ASSIGN(const auto byte, stored_piece(1));
            ++used;
            if (byte[0] == '\n') {
                break;
            }
            line += static_cast<char>(byte[0]);
            if (line.size() > 20) {
                return invalid("its map of holes has an endless line");
            }
        }
        const auto value = base::parse_u64(line, INT64_MAX);
        if (!value) {
            return invalid("its map of holes is not made of numbers");
        }
        return *value;
    };
    TRY_ASSIGN(const std::uint64_t count, number());
    if (count > limits_.sparse_pieces) {
        return fail(Code::limit_exceeded, "a sparse file in the layer has too many pieces");
    }
    for (std::uint64_t i = 0; i < count; ++i) {
        TRY_ASSIGN(const std::uint64_t offset, number());
        TRY_ASSIGN(const std::uint64_t size, number());
        map_.push_back({offset, size});
    }
    for (std::uint64_t pad = (512 - used % 512) % 512; pad > 0;) {
        if (stored_ == 0) {
            return invalid("its map of holes is cut off");
        }
        TRY_ASSIGN(const auto piece, stored_piece(pad));
        pad -= piece.size();
    }
    return {};
}

} // namespace slipway::prefetch::convert
