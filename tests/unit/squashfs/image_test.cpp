// SPDX-License-Identifier: Apache-2.0
#include "tests/support/skip.hpp"
#include "squashfs/reader/reader.hpp"
#include "tests/unit/squashfs/tiny_image.hpp"

#include <catch2/catch.hpp>
#include <fcntl.h>

using namespace slipway;
using base::Code;
using test::OpenImage;
using test::TinyImage;

namespace {

std::string small_image() {
    TinyImage tiny;
    const auto root = tiny.directory(1, 0, 0, 2);
    return tiny.finish(root);
}

template <typename T> std::string changed(std::size_t at, T value) {
    std::string bytes = small_image();
    TinyImage::put_at(bytes, at, value);
    return bytes;
}

Code code_of(const std::string& bytes) {
    OpenImage opened(bytes);
    REQUIRE(!opened.image);
    CHECK(!opened.image.error().message.empty());
    return opened.image.error().code;
}

} // namespace

TEST_CASE("a minimal image opens") {
    OpenImage opened(small_image());
    REQUIRE(opened.image);
    CHECK((*opened.image)->super().block_size == 4096);
    CHECK_FALSE((*opened.image)->has_xattrs());
}

TEST_CASE("each wrong field of the superblock is refused with its own kind of error") {
    CHECK(code_of(changed(0, std::uint32_t{0x68737173})) == Code::image_format);
    CHECK(code_of(changed(28, std::uint16_t{3})) == Code::image_unsupported);
    CHECK(code_of(changed(30, std::uint16_t{1})) == Code::image_unsupported);
    CHECK(code_of(changed(20, std::uint16_t{0})) == Code::image_unsupported);
    CHECK(code_of(changed(20, std::uint16_t{7})) == Code::image_unsupported);
    CHECK(code_of(changed(12, std::uint32_t{4095})) == Code::image_corrupt);
    CHECK(code_of(changed(12, std::uint32_t{2048})) == Code::image_corrupt);
    CHECK(code_of(changed(12, std::uint32_t{1U << 21U})) == Code::image_corrupt);
    CHECK(code_of(changed(22, std::uint16_t{17})) == Code::image_corrupt);
    CHECK(code_of(changed(40, std::uint64_t{1U << 30U})) == Code::image_corrupt);
    CHECK(code_of(changed(40, std::uint64_t{95})) == Code::image_corrupt);
    CHECK(code_of(changed(64, std::uint64_t{0})) == Code::image_corrupt);
    CHECK(code_of(changed(64, ~std::uint64_t{0})) == Code::image_corrupt);
    CHECK(code_of(changed(72, std::uint64_t{95})) == Code::image_corrupt);
    CHECK(code_of(changed(64, std::uint64_t{135})) == Code::image_corrupt); // behind the directories
    CHECK(code_of(changed(56, std::uint64_t{1U << 30U})) == Code::image_corrupt);
    CHECK(code_of(changed(16, std::uint32_t{1})) == Code::image_corrupt);  // fragments, no table
    CHECK(code_of(changed(32, std::uint64_t{8000})) == Code::image_corrupt); // the root
    CHECK(code_of(changed(32, ~std::uint64_t{0})) == Code::image_corrupt);
    CHECK(code_of(small_image().substr(0, 50)) == Code::image_corrupt);
    CHECK(code_of(small_image().substr(0, 100)) == Code::image_corrupt);
}

TEST_CASE("a root that is no directory is refused") {
    TinyImage tiny;
    const auto file = tiny.file(1, 96, 0, {});
    CHECK(code_of(tiny.finish(file)) == Code::image_corrupt);
}

TEST_CASE("too many fragments for a table in memory are refused") {
    std::string bytes = small_image();
    // One more than 1 MiB of positions knows; the superblock wants a byte for each.
    const std::uint32_t count = (1U << 17U) * 512 + 1;
    bytes.resize(count + 1);
    TinyImage::put_at(bytes, 16, count);
    TinyImage::put_at(bytes, 40, std::uint64_t{bytes.size()});
    TinyImage::put_at(bytes, 80, std::uint64_t{100});
    CHECK(code_of(bytes) == Code::limit_exceeded);
}

TEST_CASE("a file system lies anywhere in a file, with the room that it is given") {
    const std::string bytes = small_image();
    const base::UniqueFd file(memfd_create("image", MFD_CLOEXEC));
    REQUIRE(base::write_all(file.get(), std::string(45056, 'S') + bytes + std::string(5000, 'E')));
    CHECK(squashfs::reader::Image::open(file.get(), 45056, bytes.size()));
    CHECK(squashfs::reader::Image::open(file.get(), 45056, bytes.size() + 5000));
    const auto code = [&](std::uint64_t offset, std::uint64_t size) {
        return squashfs::reader::Image::open(file.get(), offset, size).error().code;
    };
    CHECK(code(45056, bytes.size() - 1) == Code::image_corrupt);
    CHECK(code(0, bytes.size()) == Code::image_format);
    CHECK(code(99'999'999, bytes.size()) == Code::io); // the file became shorter
    const auto none = squashfs::reader::Image::open(-1, 0, bytes.size());
    REQUIRE(!none);
    CHECK(none.error().sys_errno == EBADF);
}

TEST_CASE("a SIF of another tool can be read at its partition") {
    const auto sample = test::sample("busybox_amd64.sif");
    if (sample.empty()) {
        return;
    }
    const base::UniqueFd file(open(sample.c_str(), O_RDONLY | O_CLOEXEC));
    REQUIRE(file);
    // With the partition's room and what follows it: the superblock says how long it really is.
    const auto room = static_cast<std::uint64_t>(lseek(file.get(), 0, SEEK_END)) - 45056;
    auto image = squashfs::reader::Image::open(file.get(), 45056, room);
    REQUIRE(image);
    squashfs::reader::Reader reader(**image);
    squashfs::reader::Inode inode;
    squashfs::reader::DirectoryEntry entry;
    REQUIRE(reader.inode((*image)->super().root_reference, inode) == 0);
    REQUIRE(reader.lookup(inode, "bin", entry) == 0);
    REQUIRE(reader.inode(entry.reference, inode) == 0);
    REQUIRE(reader.lookup(inode, "busybox", entry) == 0);
    REQUIRE(reader.inode(entry.reference, inode) == 0);
    squashfs::reader::FileData data;
    REQUIRE(reader.read(inode, 0, 4, data) == 0);
    REQUIRE(data.size == 4);
    CHECK(std::memcmp(data.pieces.at(0).iov_base, "\177ELF", 4) == 0);
}
