// SPDX-License-Identifier: Apache-2.0
#include "base/cursor.hpp"
#include "base/fd.hpp"
#include "base/temp_dir.hpp"
#include "squashfs/superblock.hpp"
#include "tests/support/skip.hpp"
#include "tests/unit/image/support.hpp"

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <sys/stat.h>

using namespace slipway;
using base::Code;

namespace {

struct Super {
    std::uint32_t inodes = 1, block = 131072, fragments = 0;
    std::uint16_t compressor = 6, log = 17, flags = 0xC0, ids = 1, major = 4, minor = 0;
    std::uint64_t root = 0, used = 1000, id = 900, xattr = UINT64_MAX, inode = 100, dir = 200,
                  fragment = UINT64_MAX, exports = UINT64_MAX;

    [[nodiscard]] std::string bytes() const {
        base::Packer out;
        out.u32(0x73717368);
        out.u32(inodes);
        out.u32(0);
        out.u32(block);
        out.u32(fragments);
        for (const auto value : {compressor, log, flags, ids, major, minor}) {
            out.u16(value);
        }
        for (const auto value : {root, used, id, xattr, inode, dir, fragment, exports}) {
            out.u64(value);
        }
        return out.data();
    }
};

base::Result<squashfs::Superblock> parse(const Super& super, std::uint64_t available = 4096) {
    const auto bytes = super.bytes();
    REQUIRE(bytes.size() == squashfs::superblock_bytes);
    return squashfs::parse_superblock(
        std::span(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()), available);
}

Code code_of(const base::Result<squashfs::Superblock>& result) {
    REQUIRE(!result);
    return result.error().code;
}

} // namespace

TEST_CASE("a sane superblock gives its facts") {
    const auto info = parse({});
    REQUIRE(info);
    CHECK(info->block_size == 131072);
    CHECK(squashfs::facts_of(info->compressor).name == "zstd");
    CHECK(info->xattr_table == squashfs::absent_table);
    CHECK(parse({.xattr = 950})->xattr_table == 950);
    CHECK(parse({.block = 4096, .log = 12}));
    CHECK(parse({.block = 1048576, .log = 20}));
    CHECK(parse({}, 1000));
}

TEST_CASE("insane superblocks are refused") {
    CHECK(code_of(parse({.major = 3})) == Code::image_unsupported);
    CHECK(code_of(parse({.minor = 1})) == Code::image_unsupported);
    CHECK(code_of(parse({.compressor = 0})) == Code::image_unsupported);
    CHECK(code_of(parse({.compressor = 7})) == Code::image_unsupported);
    const std::vector<Super> damaged = {
        {.block = 0, .log = 0},
        {.block = 131072, .log = 16},
        {.block = 131073, .log = 17},
        {.block = 2048, .log = 11},
        {.block = 1U << 21U, .log = 21},
        {.log = 49},
        {.inodes = 0},
        {.ids = 0},
        {.inodes = UINT32_MAX},
        {.used = 95},
        {.used = 4097},
        {.used = UINT64_MAX},
        {.id = 1000},
        {.id = 10},
        {.id = UINT64_MAX},
        {.inode = 95},
        {.inode = UINT64_MAX},
        {.dir = UINT64_MAX},
        {.inode = 200, .dir = 200},
        {.dir = 900},
        {.id = 150},
        {.xattr = 1000},
        {.xattr = 0},
        {.fragment = 5000},
        {.exports = 1},
        {.fragments = 1},
        {.fragments = UINT32_MAX, .fragment = 500},
        {.root = 0x10000ULL * 100},
        {.root = 8192},
        {.root = UINT64_MAX},
    };
    for (std::size_t i = 0; i < damaged.size(); ++i) {
        INFO(i);
        CHECK(code_of(parse(damaged[i])) == Code::image_corrupt);
    }
    CHECK(code_of(parse({}, 999)) == Code::image_corrupt);
    CHECK(code_of(parse({}, 95)) == Code::image_corrupt);
}

TEST_CASE("short input is never read past its end") {
    const auto bytes = Super().bytes();
    for (std::size_t length = 0; length < bytes.size(); ++length) {
        const auto fd = test::file_with(bytes.substr(0, length));
        CHECK(code_of(squashfs::read_superblock(fd.get(), 0, length)) ==
              (length < 4 ? Code::image_format : Code::image_corrupt));
    }
    // The caller's idea of what is there may be wrong, too.
    CHECK(code_of(squashfs::read_superblock(test::file_with("hsqs").get(), 0, 5000)) == Code::io);
}

TEST_CASE("the superblock that Singularity 3.8.1 wrote for busybox") {
    constexpr char written[] = "\x68\x73\x71\x73\x37\x00\x00\x00\xF0\x42\x08\x61\x00\x00\x02\x00"
                               "\x01\x00\x00\x00\x01\x00\x11\x00\xC0\x00\x04\x00\x04\x00\x00\x00"
                               "\x74\x0A\x00\x00\x00\x00\x00\x00\xDC\x5B\x0B\x00\x00\x00\x00\x00"
                               "\x74\x5B\x0B\x00\x00\x00\x00\x00\xC4\x5B\x0B\x00\x00\x00\x00\x00"
                               "\x20\x4E\x0B\x00\x00\x00\x00\x00\xD8\x50\x0B\x00\x00\x00\x00\x00"
                               "\xB2\x5A\x0B\x00\x00\x00\x00\x00\x5A\x5B\x0B\x00\x00\x00\x00\x00";
    const auto fd = test::file_with(std::string(written, sizeof written - 1));
    const auto info = squashfs::read_superblock(fd.get(), 0, 745472);
    REQUIRE(info);
    CHECK(info->inode_count == 0x37);
    CHECK(info->block_size == 0x20000);
    CHECK(info->fragment_count == 1);
    CHECK(squashfs::facts_of(info->compressor).name == "gzip");
    CHECK(info->id_count == 4);
    CHECK(info->bytes_used == 0xb5bdc);
}

TEST_CASE("file systems of mksquashfs with every compressor") {
    const auto mksquashfs = test::find_program({"/usr/bin/mksquashfs", "/usr/sbin/mksquashfs"});
    if (mksquashfs.empty()) {
        test::skip("mksquashfs is not installed");
        return;
    }
    const auto dir = base::TempDir::create("squash");
    REQUIRE(dir);
    const auto tree = dir->path() + "/tree";
    REQUIRE(::mkdir(tree.c_str(), 0755) == 0);
    for (const bool filled : {false, true}) {
        if (filled) {
            auto file = base::open_file(tree + "/f", O_WRONLY | O_CREAT, 0644);
            REQUIRE(file);
            REQUIRE(base::write_all(file->get(), std::string(200000, 'x') + "tail"));
        }
        for (const std::string compressor : {"gzip", "lzo", "xz", "lz4", "zstd"}) {
            const auto path = dir->path() + "/" + compressor + ".sqfs";
            const auto made = test::run({mksquashfs, tree, path, "-comp", compressor, "-noappend",
                                         "-quiet", "-no-progress", "-no-xattrs"});
            INFO(made.out);
            REQUIRE(made.exit_code == 0);
            const auto fd = base::open_file(path, O_RDONLY);
            struct stat st {};
            REQUIRE(::fstat(fd->get(), &st) == 0);
            const auto info =
                squashfs::read_superblock(fd->get(), 0, static_cast<std::uint64_t>(st.st_size));
            REQUIRE(info);
            CHECK(squashfs::facts_of(info->compressor).name == compressor);
            CHECK(info->xattr_table == squashfs::absent_table);
        }
    }
}
