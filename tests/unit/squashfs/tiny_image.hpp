// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"
#include "squashfs/reader/image.hpp"

#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

namespace slipway::test {

/// Writes SquashFS images by hand: one uncompressed metadata block for all inodes, any number for
/// the listings, blocks of 4 KiB. Everything can be made wrong.
class TinyImage {
  public:
    static constexpr std::uint32_t block_size = 4096;

    template <typename T> static void put(std::string& to, T value) {
        char bytes[sizeof value];
        std::memcpy(bytes, &value, sizeof value);
        to.append(bytes, sizeof bytes);
    }
    template <typename T> static void put_at(std::string& to, std::size_t at, T value) {
        std::memcpy(to.data() + at, &value, sizeof value);
    }

    /// Begins an inode record; its reference is the place where it begins.
    std::uint64_t begin(std::uint16_t type, std::uint16_t mode, std::uint32_t number) {
        const std::uint64_t reference = inodes.size();
        put(inodes, type);
        put(inodes, mode);
        put(inodes, std::uint32_t{0}); // uid, gid index
        put(inodes, mtime);
        put(inodes, number);
        return reference;
    }
    std::uint64_t file(std::uint32_t number, std::uint32_t start, std::uint32_t size,
                       const std::vector<std::uint32_t>& blocks, std::uint32_t fragment = 0xFFFFFFFF,
                       std::uint32_t fragment_offset = 0) {
        const auto reference = begin(2, 0644, number);
        put(inodes, start);
        put(inodes, fragment);
        put(inodes, fragment_offset);
        put(inodes, size);
        for (const auto block : blocks) {
            put(inodes, block);
        }
        return reference;
    }
    std::uint64_t symlink(std::uint32_t number, const std::string& target, std::uint32_t size) {
        const auto reference = begin(3, 0777, number);
        put(inodes, std::uint32_t{1});
        put(inodes, size);
        inodes += target;
        return reference;
    }
    std::uint64_t directory(std::uint32_t number, std::uint16_t offset, std::uint16_t size,
                            std::uint32_t parent) {
        const auto reference = begin(1, 0755, number);
        put(inodes, std::uint32_t{0});
        put(inodes, std::uint32_t{2});
        put(inodes, static_cast<std::uint16_t>(size + 3));
        put(inodes, offset);
        put(inodes, parent);
        return reference;
    }

    struct Entry {
        std::string name;
        std::uint64_t reference;
        std::uint16_t type;
        std::int16_t number_delta;
    };
    /// One run of a listing; `count` is what its header says, minus one.
    void run(const std::vector<Entry>& entries, std::uint32_t base_number, std::uint32_t count) {
        put(listings, count);
        put(listings, std::uint32_t{0});
        put(listings, base_number);
        for (const auto& entry : entries) {
            put(listings, static_cast<std::uint16_t>(entry.reference));
            put(listings, entry.number_delta);
            put(listings, entry.type);
            put(listings, static_cast<std::uint16_t>(entry.name.size() - 1));
            listings += entry.name;
        }
    }

    /// Blocks and fragments: returns the position in the image.
    std::uint32_t store(const std::string& bytes) {
        data += bytes;
        return static_cast<std::uint32_t>(96 + data.size() - bytes.size());
    }
    void fragment(std::uint64_t position, std::uint32_t header) {
        put(fragments, position);
        put(fragments, header);
        put(fragments, std::uint32_t{0});
    }

    static void metadata(std::string& to, const std::string& bytes) {
        for (std::size_t at = 0; at < bytes.size(); at += 8192) {
            const auto piece = bytes.substr(at, 8192);
            put(to, static_cast<std::uint16_t>(piece.size() | 0x8000U));
            to += piece;
        }
    }

    [[nodiscard]] std::string finish(std::uint64_t root) const {
        std::string body = data;
        const auto here = [&] { return static_cast<std::uint64_t>(96 + body.size()); };
        const auto inode_table = here();
        metadata(body, inodes);
        const auto directory_table = here();
        metadata(body, listings);
        std::uint64_t fragment_table = ~std::uint64_t{0};
        if (!fragments.empty()) {
            const auto block = here();
            metadata(body, fragments);
            fragment_table = here();
            put(body, block);
        }
        put(body, std::uint64_t{0}); // where the ids would be, and their table: not read
        const auto id_table = here();
        put(body, std::uint64_t{0});
        std::string super;
        put(super, std::uint32_t{0x73717368});
        put(super, std::uint32_t{10}); // inodes
        put(super, std::uint32_t{0});
        put(super, block_size);
        put(super, static_cast<std::uint32_t>(fragments.size() / 16));
        put(super, std::uint16_t{1}); // gzip
        put(super, std::uint16_t{12});
        put(super, std::uint16_t{0});
        put(super, std::uint16_t{1});
        put(super, std::uint16_t{4});
        put(super, std::uint16_t{0});
        put(super, root);
        put(super, static_cast<std::uint64_t>(96 + body.size()));
        put(super, id_table);
        put(super, ~std::uint64_t{0}); // xattrs
        put(super, inode_table);
        put(super, directory_table);
        put(super, fragment_table);
        put(super, ~std::uint64_t{0}); // export table
        return super + body;
    }

    std::uint32_t mtime = 1234567890;
    std::string inodes;
    std::string listings;
    std::string data;
    std::string fragments;
};

/// An image in memory, opened.
struct OpenImage {
    explicit OpenImage(const std::string& bytes,
                       const squashfs::reader::CacheLimits& limits = {.metadata_blocks = 32,
                                                                        .data_bytes = 1U << 18U})
        : file(memfd_create("image", MFD_CLOEXEC)) {
        if (write(file.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
            throw std::runtime_error("memfd");
        }
        image = squashfs::reader::Image::open(file.get(), 0, bytes.size(), limits);
    }
    [[nodiscard]] squashfs::reader::Image* get() const {
        if (!image) {
            throw std::runtime_error(image.error().message);
        }
        return image->get();
    }
    base::UniqueFd file;
    base::Result<std::unique_ptr<squashfs::reader::Image>> image =
        base::fail(base::Code::internal, "not opened");
};

} // namespace slipway::test
