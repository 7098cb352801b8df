// SPDX-License-Identifier: Apache-2.0
#include "squashfs/reader/reader.hpp"
#include "tests/unit/squashfs/tiny_image.hpp"

#include <catch2/catch.hpp>
#include <cerrno>
#include <dirent.h>

using namespace slipway::squashfs;
using namespace slipway::squashfs::reader;
using slipway::test::OpenImage;
using slipway::test::TinyImage;

namespace {

constexpr std::uint32_t raw = 1U << 24U;

/// The root of `tiny` lists everything in `tiny.listings`.
struct Opened {
    explicit Opened(TinyImage& tiny)
        : opened(tiny.finish(tiny.directory(1, 0, static_cast<std::uint16_t>(tiny.listings.size()), 2))),
          reader(*opened.get()) {
        REQUIRE(reader.inode((*opened.image)->super().root_reference, root) == 0);
    }
    int find(std::string_view name, Inode& out) {
        DirectoryEntry entry;
        const int error = reader.lookup(root, name, entry);
        return error != 0 ? error : reader.inode(entry.reference, out);
    }
    std::string content(const Inode& inode, std::uint64_t offset, std::size_t size) {
        FileData data;
        REQUIRE(reader.read(inode, offset, size, data) == 0);
        std::string out;
        for (const auto& piece : data.pieces) {
            out.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
        }
        CHECK(out.size() == data.size);
        return out;
    }
    OpenImage opened;
    Reader reader;
    Inode root;
};

int read_error(Opened& image, const char* name, std::uint64_t offset, std::size_t size) {
    Inode inode;
    FileData data;
    REQUIRE(image.find(name, inode) == 0);
    return image.reader.read(inode, offset, size, data);
}

} // namespace

TEST_CASE("files: blocks, holes, fragments, and reads across them") {
    TinyImage tiny;
    const std::string first(4096, 'a');
    const std::string third(4096, 'c');
    const auto start = tiny.store(first + third);
    const auto fragment = tiny.store("....tail!....");
    tiny.fragment(fragment, 13 | raw);
    const auto reference =
        tiny.file(7, start, 3 * 4096 + 5, {4096 | raw, 0, 4096 | raw}, 0, 4);
    tiny.run({{"file", reference, 2, 1}}, 6, 0);
    Opened image(tiny);
    Inode inode;
    REQUIRE(image.find("file", inode) == 0);
    const std::string whole = first + std::string(4096, '\0') + third + "tail!";
    CHECK(inode.number == 7);
    CHECK(inode.size == whole.size());
    CHECK(image.content(inode, 0, 100000) == whole);
    CHECK(image.content(inode, 4000, 5000) == whole.substr(4000, 5000));
    CHECK(image.content(inode, 3 * 4096 - 1, 3) == whole.substr(3 * 4096 - 1, 3));
    CHECK(image.content(inode, whole.size() - 1, 10) == "!");
    CHECK(image.content(inode, whole.size(), 10).empty());
    CHECK(image.content(inode, ~std::uint64_t{0}, 10).empty());
    FileData data;
    CHECK(image.reader.read(image.root, 0, 10, data) == EISDIR);
}

TEST_CASE("files: every damage is an I/O error") {
    TinyImage tiny;
    const auto start = tiny.store(std::string(100, 'x'));
    tiny.fragment(start, 100 | raw);
    const auto short_block = tiny.file(1, start, 4096, {100 | raw});
    const auto no_block = tiny.file(2, 0xFFFFFFF0, 4096, {4096 | raw});
    const auto too_long = tiny.file(3, start, 4096, {0xFFFFFF});
    const auto garbage = tiny.file(4, start, 4096, {100});
    const auto no_fragment_entry = tiny.file(5, start, 10, {}, 77, 0);
    const auto outside = tiny.file(6, start, 50, {}, 0, 60);
    const auto far_outside = tiny.file(7, start, 50, {}, 0, 0xFFFFFFF0);
    const auto no_list = tiny.file(8, start, 0xFFFFFFFF, {});
    tiny.run({{"a", short_block, 2, 1}, {"b", no_block, 2, 2}, {"c", too_long, 2, 3},
              {"d", garbage, 2, 4}, {"e", no_fragment_entry, 2, 5}, {"f", outside, 2, 6},
              {"g", far_outside, 2, 7}, {"h", no_list, 2, 8}},
             0, 7);
    Opened image(tiny);
    for (const char* name : {"a", "b", "c", "d", "e", "f", "g"}) {
        CAPTURE(name);
        CHECK(read_error(image, name, 0, 4096) == EIO);
    }
    CHECK(read_error(image, "h", 0xF0000000, 4096) == EIO);
}

TEST_CASE("listings: order, types, numbers, and going on anywhere") {
    TinyImage tiny;
    const auto reference = tiny.file(10, 96, 0, {});
    tiny.run({{"bin", reference, 1, -5}, {"etc", reference, 1, 3}}, 20, 1);
    tiny.run({{"file", reference, 2, 0}, {"link", reference, 3, 1}, {"pipe", reference, 6, 2}}, 100, 2);
    Opened image(tiny);
    std::vector<std::string> names;
    std::vector<std::uint64_t> places;
    DirectoryEntry entry;
    Listing listing(image.reader, image.root, 0);
    while (listing.next(entry) == 0) {
        names.emplace_back(entry.name);
        places.push_back(listing.position());
        if (entry.name == "bin") {
            CHECK(entry.number == 15);
            CHECK(entry.type == DT_DIR);
        } else if (entry.name == "pipe") {
            CHECK(entry.number == 102);
            CHECK(entry.type == DT_FIFO);
        }
    }
    CHECK(names == std::vector<std::string>{"bin", "etc", "file", "link", "pipe"});
    for (std::size_t i = 0; i < names.size(); ++i) {
        Listing later(image.reader, image.root, places[i]);
        CHECK(later.next(entry) == (i + 1 < names.size() ? 0 : ENOENT));
        if (i + 1 < names.size()) {
            CHECK(entry.name == names[i + 1]);
            later.step_back();
            CHECK(later.position() == places[i]);
            later.remember();
            REQUIRE(later.next(entry) == 0);
            CHECK(entry.name == names[i + 1]);
        }
    }
    for (const std::uint64_t nowhere : {1U, 13U, 100000U}) {
        Listing lost(image.reader, image.root, nowhere);
        CHECK(lost.next(entry) == ENOENT);
    }
    CHECK(image.reader.lookup(image.root, "file", entry) == 0);
    CHECK(image.reader.lookup(image.root, "fil", entry) == ENOENT);
    CHECK(image.reader.lookup(image.root, "zzz", entry) == ENOENT);
    CHECK(image.reader.lookup(image.root, std::string(256, 'x'), entry) == ENAMETOOLONG);
    Inode file;
    REQUIRE(image.reader.inode(reference, file) == 0);
    CHECK(image.reader.lookup(file, "x", entry) == ENOTDIR);
}

TEST_CASE("listings: hostile names and counts are I/O errors") {
    const auto refused = [](const std::vector<TinyImage::Entry>& entries, std::uint32_t count) {
        TinyImage tiny;
        tiny.run(entries, 0, count);
        Opened image(tiny);
        DirectoryEntry entry;
        Listing listing(image.reader, image.root, 0);
        return listing.next(entry);
    };
    CHECK(refused({{"good", 0, 2, 0}}, 0) == 0);
    CHECK(refused({{"a/b", 0, 2, 0}}, 0) == EIO);
    CHECK(refused({{"..", 0, 1, 0}}, 0) == EIO);
    CHECK(refused({{".", 0, 1, 0}}, 0) == EIO);
    CHECK(refused({{std::string("a\0b", 3), 0, 2, 0}}, 0) == EIO);
    CHECK(refused({{std::string(256, 'n'), 0, 2, 0}}, 0) == EIO);
    CHECK(refused({{std::string(255, 'n'), 0, 2, 0}}, 0) == 0);
    CHECK(refused({{"type", 0, 0, 0}}, 0) == EIO);
    CHECK(refused({{"type", 0, 8, 0}}, 0) == EIO);
    CHECK(refused({{"many", 0, 2, 0}}, 256) == EIO);
    CHECK(refused({{"many", 0, 2, 0}}, 0xFFFFFFFF) == EIO);
}

TEST_CASE("listings: a run that promises more than there is ends in an error") {
    TinyImage tiny;
    tiny.run({{"one", 0, 2, 0}}, 0, 5);
    Opened image(tiny);
    DirectoryEntry entry;
    Listing listing(image.reader, image.root, 0);
    CHECK(listing.next(entry) == 0);
    CHECK(listing.next(entry) == EIO);
}

TEST_CASE("links") {
    TinyImage tiny;
    const auto good = tiny.symlink(1, "target", 6);
    const auto bad = tiny.symlink(2, "x", 5000);
    tiny.run({{"bad", bad, 3, 1}, {"good", good, 3, 0}}, 1, 1);
    Opened image(tiny);
    Inode inode;
    std::string target;
    REQUIRE(image.find("good", inode) == 0);
    CHECK(S_ISLNK(inode.mode));
    REQUIRE(image.reader.read_link(inode, target) == 0);
    CHECK(target == "target");
    CHECK(image.find("bad", inode) == EIO);
    CHECK(image.reader.read_link(image.root, target) == EINVAL);
}

TEST_CASE("inodes that are none are I/O errors") {
    TinyImage tiny;
    const auto wrong_type = tiny.begin(15, 0644, 1);
    const auto zero_type = tiny.begin(0, 0644, 1);
    Opened image(tiny);
    Inode inode;
    CHECK(image.reader.inode(wrong_type, inode) == EIO);
    CHECK(image.reader.inode(zero_type, inode) == EIO);
    CHECK(image.reader.inode(8191, inode) == EIO);
    CHECK(image.reader.inode(8192, inode) == EIO);
    CHECK(image.reader.inode(std::uint64_t{1} << 40U, inode) == EIO);
    CHECK(image.reader.inode(~std::uint64_t{0}, inode) == EIO);
}

TEST_CASE("attributes: an image without any has none") {
    TinyImage tiny;
    Opened image(tiny);
    std::string text = "before";
    CHECK(image.reader.list_xattrs(image.root, text) == 0);
    CHECK(text.empty());
    CHECK(image.reader.get_xattr(image.root, "user.x", text) == ENODATA);
}
