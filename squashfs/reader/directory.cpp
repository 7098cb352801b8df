// SPDX-License-Identifier: Apache-2.0
#include "squashfs/reader/reader.hpp"

#include <dirent.h>

#include <cerrno>

namespace slipway::squashfs::reader {
namespace {

constexpr std::size_t header_bytes = 12;
constexpr std::size_t entry_bytes = 8;
constexpr std::uint32_t max_run = 256;
constexpr std::size_t max_name = 255; // the format allows 256, Linux does not
constexpr std::size_t index_bytes = 12;
/// Directories say three bytes more than their listing has (room for "." and "..").
constexpr std::uint64_t size_excess = 3;

constexpr std::uint8_t dirent_types[] = {DT_UNKNOWN, DT_DIR, DT_REG,  DT_LNK,
                                         DT_BLK,     DT_CHR, DT_FIFO, DT_SOCK};

/// A name that may go to the kernel: not empty, not "." or "..", without '/' and NUL.
bool good_name(std::string_view name) noexcept {
    return name != "." && name != ".." && name.find('/') == std::string_view::npos &&
           name.find('\0') == std::string_view::npos;
}

/// A run as the directory index knows it: where it begins in the listing and in the metadata.
struct IndexedRun {
    std::uint64_t position = 0;
    MetadataPlace metadata;
};

/// Goes through the directory's index as long as keep_going(listing position, first name) is true;
/// the last run that it accepted, or the start of the listing. False on damage.
template <typename KeepGoing>
bool find_run(Reader& reader, const Inode& directory, IndexedRun& out,
              const KeepGoing& keep_going) {
    out = {0, directory.listing};
    MetadataStream stream(reader, directory.tail);
    char name[256];
    for (std::uint32_t i = 0; i < directory.index_count; ++i) {
        std::uint8_t record[index_bytes];
        if (!stream.read(record, sizeof record)) {
            return false;
        }
        const auto position = little<std::uint32_t>(record);
        const std::uint64_t name_size = std::uint64_t{little<std::uint32_t>(record + 8)} + 1;
        if (name_size > sizeof name || !stream.read(name, static_cast<std::size_t>(name_size))) {
            return false;
        }
        if (!keep_going(position, std::string_view(name, static_cast<std::size_t>(name_size)))) {
            return true;
        }
        out.position = position;
        out.metadata.block =
            reader.image().super().directory_table + little<std::uint32_t>(record + 4);
        out.metadata.offset = static_cast<std::uint32_t>((directory.listing.offset + position) %
                                                         metadata_block_bytes);
    }
    return true;
}

ListingIndex::Place start_of(const Inode& directory) {
    ListingIndex::Place place;
    place.directory = directory.reference;
    place.metadata = directory.listing;
    return place;
}

} // namespace

Listing::Listing(Reader& reader, const Inode& directory, std::uint64_t position)
    : reader_(reader), end_(directory.size > size_excess ? directory.size - size_excess : 0),
      place_(start_of(directory)), stream_(reader, directory.listing) {
    if (position == 0) {
        return;
    }
    if (const auto known = reader.image().listings_.find(directory.reference, position)) {
        place_ = *known;
        stream_ = MetadataStream(reader, known->metadata);
        return;
    }
    lost_ = !seek(directory, position);
}

/// Finds a position that nobody remembers: from the nearest run of the index entry by entry.
bool Listing::seek(const Inode& directory, std::uint64_t position) {
    IndexedRun run;
    const auto not_beyond = [&](std::uint64_t begin, std::string_view) {
        return begin <= position;
    };
    if (!find_run(reader_, directory, run, not_beyond)) {
        return false;
    }
    place_.position = run.position;
    stream_ = MetadataStream(reader_, run.metadata);
    DirectoryEntry ignored;
    while (place_.position < position) {
        if (next(ignored) != 0) {
            return false;
        }
    }
    return place_.position == position;
}

void Listing::step_back() noexcept {
    place_ = before_;
    stream_ = MetadataStream(reader_, before_.metadata);
}

void Listing::remember() {
    place_.metadata = stream_.place();
    reader_.image().listings_.remember(place_);
}

int Listing::begin_run() {
    std::uint8_t header[header_bytes];
    if (place_.position + header_bytes > end_ || !stream_.read(header, sizeof header)) {
        return EIO;
    }
    const auto count = little<std::uint32_t>(header);
    if (count >= max_run) {
        return EIO;
    }
    place_.position += header_bytes;
    place_.run_left = count + 1;
    place_.run_block = little<std::uint32_t>(header + 4);
    place_.run_inode = little<std::uint32_t>(header + 8);
    return 0;
}

int Listing::next(DirectoryEntry& entry) {
    if (lost_) {
        return ENOENT;
    }
    before_ = place_;
    before_.metadata = stream_.place();
    if (place_.run_left == 0) {
        if (place_.position >= end_) {
            return ENOENT;
        }
        if (const int error = begin_run(); error != 0) {
            return error;
        }
    }
    std::uint8_t record[entry_bytes];
    if (place_.position + entry_bytes > end_ || !stream_.read(record, sizeof record)) {
        return EIO;
    }
    const unsigned type = little<std::uint16_t>(record + 4);
    const std::size_t size = little<std::uint16_t>(record + 6) + std::size_t{1};
    if (type == 0 || type >= std::size(dirent_types) || size > max_name ||
        place_.position + entry_bytes + size > end_ || !stream_.read(name_, size)) {
        return EIO;
    }
    entry.name = std::string_view(name_, size);
    if (!good_name(entry.name)) {
        return EIO;
    }
    entry.reference = std::uint64_t{place_.run_block} << 16U | little<std::uint16_t>(record);
    entry.number = place_.run_inode + static_cast<std::uint32_t>(little<std::int16_t>(record + 2));
    entry.type = dirent_types[type];
    place_.position += entry_bytes + size;
    --place_.run_left;
    return 0;
}

int Reader::lookup(const Inode& directory, std::string_view name, DirectoryEntry& out) {
    if (!S_ISDIR(directory.mode)) {
        return ENOTDIR;
    }
    if (name.size() > max_name) {
        return ENAMETOOLONG;
    }
    if (name.empty() || !good_name(name)) {
        return ENOENT;
    }
    IndexedRun run;
    if (!find_run(*this, directory, run,
                  [&](std::uint64_t, std::string_view first) { return first <= name; })) {
        return EIO;
    }
    Listing listing(*this, directory, 0);
    listing.place_.position = run.position;
    listing.stream_ = MetadataStream(*this, run.metadata);
    for (;;) {
        if (const int error = listing.next(out); error != 0) {
            return error;
        }
        if (out.name == name) {
            std::memcpy(name_, name.data(), name.size());
            out.name = std::string_view(name_, name.size());
            return 0;
        }
        // Listings are sorted. Only the first byte is compared, as the kernel does, so that images
        // of writers with another idea of order work where they work there.
        if (static_cast<unsigned char>(out.name[0]) > static_cast<unsigned char>(name[0])) {
            return ENOENT;
        }
    }
}

} // namespace slipway::squashfs::reader
