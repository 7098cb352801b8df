// SPDX-License-Identifier: Apache-2.0
#include "base/cursor.hpp"
#include "base/path.hpp"
#include "base/temp_dir.hpp"
#include "image/digest.hpp"
#include "image/open_image.hpp"
#include "tests/support/skip.hpp"
#include "tests/unit/image/support.hpp"

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace slipway;
using base::Code;
using image::ImageKind;

namespace {

std::string squashfs_file(std::uint16_t compressor = 6) {
    base::Packer out;
    for (const std::uint32_t value : {0x73717368U, 1U, 0U, 131072U, 0U}) {
        out.u32(value);
    }
    for (const std::uint16_t value : {compressor, std::uint16_t{17}, std::uint16_t{0},
                                      std::uint16_t{1}, std::uint16_t{4}, std::uint16_t{0}}) {
        out.u16(value);
    }
    for (const std::uint64_t value :
         {std::uint64_t{0}, std::uint64_t{1000}, std::uint64_t{900}, UINT64_MAX, std::uint64_t{100},
          std::uint64_t{200}, UINT64_MAX, UINT64_MAX}) {
        out.u64(value);
    }
    auto bytes = out.data();
    bytes.resize(4096);
    return bytes;
}

std::string ext3() {
    std::string bytes(8192, '\0');
    bytes[1080] = '\x53';
    bytes[1081] = '\xEF';
    return bytes;
}

std::string sif(image::SifFs fs, std::string_view goarch, std::string_view content) {
    const auto fd = test::file_with("");
    image::SifWriter writer(fd.get(), {.reproducible = true});
    const auto at = writer.partition_offset();
    REQUIRE(base::write_all_at(
        fd.get(), std::span(reinterpret_cast<const std::uint8_t*>(content.data()), content.size()),
        at));
    REQUIRE(writer.finish(content.size(), goarch, fs));
    return test::content_of(fd.get());
}

image::ImageFile probe(const std::string& bytes) {
    auto got = image::probe_image(test::file_with(bytes).get(), bytes.size());
    REQUIRE(got);
    return std::move(*got);
}

image::ImageRoot root_of(const image::ImageFile& file) {
    REQUIRE(file.roots.size() == 1);
    return file.roots.front();
}

Code damage(const std::string& bytes) {
    const auto got = image::probe_image(test::file_with(bytes).get(), bytes.size());
    REQUIRE(!got);
    return got.error().code;
}

/// Opened and looked at, as the image server does it.
base::Result<image::ImageFile> identify(const std::string& path) {
    TRY_ASSIGN(const auto open, image::open_image(path));
    return image::identify_image(open.fd.get(), open.size, path);
}

Code refusal(const std::string& bytes, std::string_view host = "amd64") {
    const auto got = image::require_runnable(probe(bytes), "x", host);
    REQUIRE(!got);
    CHECK(!got.error().hint.empty());
    return got.error().code;
}

std::string put(const base::TempDir& dir, const std::string& name, std::string_view content) {
    auto path = dir.path() + "/" + name;
    auto fd = base::open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    REQUIRE(fd);
    REQUIRE(base::write_all(fd->get(), content));
    return path;
}

} // namespace

TEST_CASE("every kind of image is recognised with its place") {
    const auto bare = probe(squashfs_file());
    CHECK(bare.kind == ImageKind::squashfs);
    CHECK(root_of(bare).offset == 0);
    CHECK(root_of(bare).size == 4096);
    CHECK(bare.architecture == "unknown");
    CHECK(image::require_runnable(bare, "x", "amd64"));

    const std::string line = "#!/usr/bin/env run-singularity\n";
    const auto launched = probe(line + squashfs_file());
    CHECK(launched.kind == ImageKind::squashfs);
    CHECK(root_of(launched).offset == 31);
    CHECK(root_of(launched).size == 4096);
    CHECK(probe("#!/bin/sh\n# a comment\nexec run-singularity \"$0\"\n" + squashfs_file())
              .roots.at(0)
              .offset == 48);
    CHECK(probe("#!/bin/sh\n" + squashfs_file()).kind == ImageKind::unknown);

    CHECK(probe(ext3()).kind == ImageKind::ext3);
    CHECK(root_of(probe(line + ext3())).offset == 31);

    const auto native = probe(sif(image::SifFs::squashfs, "amd64", squashfs_file()));
    CHECK(native.kind == ImageKind::sif);
    CHECK(root_of(native).offset == 32768);
    CHECK(root_of(native).size == 4096);
    CHECK(native.architecture == "amd64");
    CHECK(root_of(native).fs == image::SifFs::squashfs);
    CHECK(image::require_runnable(native, "x", "amd64"));

    for (const std::string none : {"", "x", "SIF_MAGIC", "hsq"}) {
        CHECK(probe(none).kind == ImageKind::unknown);
    }
}

TEST_CASE("what cannot run is refused with the right code") {
    CHECK(refusal("text") == Code::image_format);
    CHECK(refusal(ext3()) == Code::image_unsupported);
    CHECK(refusal(sif(image::SifFs::ext3, "amd64", ext3())) == Code::image_unsupported);
    CHECK(refusal(sif(image::SifFs::encrypted_squashfs, "amd64", "LUKS")) ==
          Code::image_unsupported);
    CHECK(refusal(sif(image::SifFs::gocryptfs, "amd64", squashfs_file())) ==
          Code::image_unsupported);
    CHECK(refusal(sif(image::SifFs::raw, "amd64", "x")) == Code::image_unsupported);
    CHECK(refusal(sif(image::SifFs::squashfs, "s390x", squashfs_file()), "loong64") ==
          Code::image_architecture);
    CHECK(image::require_runnable(probe(sif(image::SifFs::squashfs, "386", squashfs_file())), "x",
                                  "amd64"));
    CHECK(image::require_runnable(probe(sif(image::SifFs::squashfs, "vax", squashfs_file())), "x",
                                  "amd64"));
}

TEST_CASE("damaged images are errors, not unknown files") {
    const auto whole = sif(image::SifFs::squashfs, "amd64", squashfs_file());
    for (const std::size_t length : {std::size_t{100}, std::size_t{5000}, whole.size() - 4096}) {
        INFO(length);
        const auto code = damage(whole.substr(0, length));
        CHECK((code == Code::image_corrupt || code == Code::image_format));
    }
    CHECK(damage(squashfs_file().substr(0, 500)) == Code::image_corrupt);
    CHECK(damage(sif(image::SifFs::squashfs, "amd64", "garbage")) == Code::image_format);
}

TEST_CASE("opening says why it cannot") {
    const auto dir = base::TempDir::create("open");
    REQUIRE(dir);
    const auto code = [&](const std::string& path) {
        const auto got = identify(path);
        REQUIRE(!got);
        INFO(got.error().one_line());
        CHECK(got.error().message.find(path.substr(0, 20)) != std::string::npos);
        return got.error().code;
    };
    CHECK(code(dir->path() + "/missing.sif") == Code::image_not_found);
    const auto file = put(*dir, "good.sqsh", squashfs_file());
    CHECK(code(file + "/below") == Code::image_not_found);
    CHECK(code(dir->path() + "/" + std::string(300, 'n')) == Code::image_not_found);
    CHECK(image::open_image("").error().code == Code::image_not_found);
    CHECK(code(put(*dir, "empty", "")) == Code::image_format);
    const auto fifo = dir->path() + "/fifo";
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    CHECK(code(fifo) == Code::image_format); // and does not hang
    CHECK(code("/dev/null") == Code::image_format);
    CHECK(image::open_image(dir->path())->directory);
    const auto link = dir->path() + "/link";
    REQUIRE(::symlink("good.sqsh", link.c_str()) == 0);
    CHECK_FALSE(image::open_image(link)->directory);
    CHECK(identify(link)->kind == ImageKind::squashfs);
}

TEST_CASE("a file that is no image is named for what it is") {
    const auto dir = base::TempDir::create("guess");
    REQUIRE(dir);
    std::string tar(1024, '\0');
    tar.replace(0, 4, "name");
    tar.replace(257, 5, "ustar");
    const std::vector<std::pair<std::string, std::string>> rows = {
        {tar, "tar archive"},
        {std::string("\x7F"
                     "ELF") +
             std::string(60, 'x'),
         "program"},
        {"\x1F\x8B\x08rest", "compressed"},
        {"#!/bin/sh\necho\n", "script"},
        {"<html>", "web page"},
        {std::string(5000, '\0'), "zeros"},
        {"Bootstrap: docker\nFrom: x\n", "definition file"},
        {"what", "not recognised"},
    };
    for (const auto& [content, words] : rows) {
        const auto got = identify(put(*dir, "f", content));
        REQUIRE(!got);
        INFO(got.error().one_line());
        CHECK(got.error().code == Code::image_format);
        CHECK(got.error().message.find(words) != std::string::npos);
        CHECK(!got.error().hint.empty());
        CHECK(got.error().hint.find("ext3") == std::string::npos); // it is refused as well
    }
}

TEST_CASE("an unreadable file is not called missing") {
    if (::geteuid() != 0) {
        const auto dir = base::TempDir::create("perm");
        const auto path = put(*dir, "x.sif", squashfs_file());
        REQUIRE(::chmod(path.c_str(), 0) == 0);
        CHECK(image::open_image(path).error().code == Code::image_unreadable);
        return;
    }
    // root may read everything: look as somebody else.
    const auto dir = base::TempDir::create("perm");
    REQUIRE(dir);
    REQUIRE(::chmod(dir->path().c_str(), 0755) == 0);
    const auto path = put(*dir, "x.sif", squashfs_file());
    REQUIRE(::chmod(path.c_str(), 0) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const bool dropped =
            ::setresgid(65534, 65534, 65534) == 0 && ::setresuid(65534, 65534, 65534) == 0;
        const auto got = image::open_image(path);
        ::_exit(dropped && !got && got.error().code == Code::image_unreadable ? 0 : 1);
    }
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
}

TEST_CASE("files of other tools") {
    const auto sample = test::sample("busybox_amd64.sif");
    if (sample.empty()) {
        return;
    }
    const std::string dir(base::dir_name(sample));
    const auto good = identify(sample);
    REQUIRE(good);
    CHECK(good->kind == ImageKind::sif);
    CHECK(good->roots.at(0).offset == 45056);
    CHECK(image::require_runnable(*good, "busybox", "amd64"));
    const auto power = identify(dir + "/busybox_ppc64le.sif");
    REQUIRE(power);
    CHECK(image::require_runnable(*power, "busybox", "ppc64le"));
    const auto oci = identify(dir + "/one-object-oci-root-index.sif");
    REQUIRE(oci);
    CHECK(oci->kind == ImageKind::oci_sif);
    CHECK(image::require_runnable(*oci, "x", "amd64").error().code == Code::image_unsupported);
    const auto empty = identify(dir + "/empty.sif");
    REQUIRE(empty);
    CHECK(image::require_runnable(*empty, "x", "amd64").error().code == Code::image_format);
    const auto tar = identify(dir + "/rootfs-amd64.tar.gz");
    REQUIRE(!tar);
    CHECK(tar.error().message.find("compressed") != std::string::npos);
}

TEST_CASE("an OCI layout is no directory with a root file system, and its name is said") {
    auto made = base::TempDir::create("slipway-layout-");
    REQUIRE(made);
    const auto& path = made->path();
    const auto put = [&](const char* name) {
        auto file = base::open_file(base::join_path(path, name), O_WRONLY | O_CREAT, 0644);
        REQUIRE(file);
    };
    put("index.json");
    CHECK(image::open_image(path));
    put("oci-layout");
    const auto refused = image::open_image(path);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Code::image_format);
    CHECK(refused.error().hint == "name it oci:" + path);
    REQUIRE(::mkdir((path + "/usr").c_str(), 0755) == 0); // a root that has files of these names
    CHECK(image::open_image(path));
}
