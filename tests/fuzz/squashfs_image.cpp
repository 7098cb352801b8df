// SPDX-License-Identifier: Apache-2.0
// A hostile image through everything that the server does with one: open, walk, look up, read, list
// attributes. Damage must end in an error; the bounds here only keep one input short.
#include "base/fd.hpp"
#include "squashfs/reader/reader.hpp"

#include <cstdlib>
#include <string>

#include <sys/mman.h>
#include <unistd.h>

namespace {

using namespace slipway::squashfs;
using namespace slipway::squashfs::reader;

constexpr unsigned max_depth = 6;

struct Walk {
    Reader reader;
    unsigned entries_left = 300;
    std::uint8_t sum = 0;

    void touch(const FileData& data) {
        std::size_t total = 0;
        for (const auto& piece : data.pieces) {
            const auto* bytes = static_cast<const std::uint8_t*>(piece.iov_base);
            for (std::size_t i = 0; i < piece.iov_len; i += 64) {
                sum = static_cast<std::uint8_t>(sum + bytes[i]);
            }
            if (piece.iov_len != 0) {
                sum = static_cast<std::uint8_t>(sum + bytes[piece.iov_len - 1]);
            }
            total += piece.iov_len;
        }
        if (total != data.size) {
            std::abort();
        }
    }

    void read_file(const Inode& inode) {
        FileData data;
        for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{5000}, inode.size / 2,
                                           inode.size - std::min<std::uint64_t>(inode.size, 100)}) {
            if (reader.read(inode, offset, 150000, data) == 0) {
                touch(data);
                if (data.size > inode.size) {
                    std::abort();
                }
            }
        }
    }

    void attributes(const Inode& inode) {
        std::string names;
        std::string value;
        if (reader.list_xattrs(inode, names) == 0 && !names.empty()) {
            reader.get_xattr(inode, names.c_str(), value);
        }
        reader.get_xattr(inode, "user.x", value);
    }

    void visit(std::uint64_t reference, unsigned depth) {
        Inode inode;
        if (entries_left == 0 || reader.inode(reference, inode) != 0) {
            return;
        }
        --entries_left;
        attributes(inode);
        std::string target;
        if (S_ISLNK(inode.mode) && reader.read_link(inode, target) == 0 && target.size() > 4095) {
            std::abort();
        }
        if (S_ISREG(inode.mode)) {
            read_file(inode);
        }
        if (!S_ISDIR(inode.mode)) {
            return;
        }
        DirectoryEntry entry;
        reader.lookup(inode, "middle", entry);
        Listing listing(reader, inode, 0);
        unsigned seen = 0;
        while (listing.next(entry) == 0 && seen++ < 40) {
            if (entry.name.empty() || entry.name.size() > 255 ||
                entry.name.find('/') != std::string_view::npos) {
                std::abort();
            }
            const std::string name(entry.name);
            const std::uint64_t child = entry.reference;
            reader.lookup(inode, name, entry);
            Listing again(reader, inode, listing.position());
            again.next(entry);
            if (depth < max_depth) {
                visit(child, depth + 1);
            }
        }
    }
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const slipway::base::UniqueFd file(memfd_create("fuzz", MFD_CLOEXEC));
    if (!file || write(file.get(), data, size) != static_cast<ssize_t>(size)) {
        std::abort();
    }
    auto image = Image::open(file.get(), 0, size, {.metadata_blocks = 8, .data_bytes = 1U << 18U});
    if (image) {
        Walk walk{Reader(**image)};
        walk.visit((*image)->super().root_reference, 0);
    }
    return 0;
}
