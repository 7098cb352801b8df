// SPDX-License-Identifier: Apache-2.0
#include "base/temp_dir.hpp"
#include "image/sif.hpp"
#include "tests/support/skip.hpp"
#include "tests/unit/image/support.hpp"

#include <catch2/catch.hpp>
#include <fcntl.h>

using namespace slipway;
using image::SifType;

namespace {

base::Result<image::SifInfo> read(int fd) {
    return image::read_sif(fd, test::size_of(fd));
}

const std::string deffile = "bootstrap: oci-archive\nfrom: img/x.tar\n\n";
const std::string file_system(10000, 'q');

/// Writes the usual four objects; the caller's noise behind the file system must vanish.
std::string write_sif(bool reproducible) {
    const auto fd = test::file_with("");
    image::SifWriter writer(fd.get(), {.reproducible = reproducible});
    REQUIRE(writer.add(SifType::deffile, "", deffile));
    REQUIRE(
        writer.add(SifType::generic_json, image::inspect_metadata_name, R"({"type":"container"})"));
    REQUIRE(writer.add(SifType::generic_json, image::oci_config_name, "{}"));
    const auto at = writer.partition_offset();
    const auto noisy = file_system + "leftover of the block writer";
    REQUIRE(base::write_all_at(
        fd.get(), std::span(reinterpret_cast<const std::uint8_t*>(noisy.data()), noisy.size()),
        at));
    REQUIRE(writer.finish(file_system.size(), "arm64"));
    return test::content_of(fd.get());
}

} // namespace

TEST_CASE("the writer lays out a native image as the format asks") {
    const auto whole = write_sif(true);
    const auto fd = test::file_with(whole);
    const auto sif = read(fd.get());
    REQUIRE(sif);
    CHECK(sif->launch_script == image::sif_launch_line);
    CHECK(sif->arch_code == "04");
    CHECK(sif->uuid == image::SifUuid{});
    CHECK(sif->created == -62135596800);
    CHECK(sif->modified == -62135596800);
    CHECK(sif->descriptors_total == 48);
    CHECK(sif->descriptors_free == 44);
    CHECK(sif->data_offset == 32176);
    REQUIRE(sif->objects.size() == 4);
    CHECK(sif->objects[0].offset == 32176);
    CHECK(sif->objects[0].size == deffile.size());
    CHECK(sif->objects[0].size_with_padding == deffile.size());
    CHECK(sif->objects[1].offset == 32176 + deffile.size()); // packed back to back
    const auto* root = sif->primary();
    REQUIRE(root != nullptr);
    CHECK(root->id == 4);
    CHECK(root->offset % 4096 == 0);
    const auto data_end = sif->objects[2].offset + sif->objects[2].size;
    CHECK(root->size_with_padding == root->size + (root->offset - data_end));
    CHECK(root->architecture() == "arm64");
    CHECK(whole.size() == root->offset + root->size);
    CHECK(sif->data_size == whole.size() - 32176);
    CHECK(whole.substr(root->offset) == file_system);
    CHECK(whole.substr(data_end, root->offset - data_end).find_first_not_of('\0') ==
          std::string::npos);
    CHECK(*image::read_deffile(fd.get(), *sif) == deffile);
    CHECK(*test::read_oci_config(fd.get(), *sif) == "{}");
    for (const auto& object : sif->objects) {
        CHECK(object.group == 1);
        CHECK(object.created == -62135596800);
        CHECK(object.uid == 0);
    }
}

TEST_CASE("the smallest image that a runtime runs has the bytes of the worked example") {
    const auto fd = test::file_with("");
    image::SifWriter writer(fd.get(), {.reproducible = true});
    CHECK(writer.partition_offset() == 32768);
    REQUIRE(base::write_all_at(fd.get(), std::vector<std::uint8_t>(4096, 1), 32768));
    REQUIRE(writer.finish(4096, "amd64"));
    const auto whole = test::content_of(fd.get());
    CHECK(whole.substr(0, 32) == std::string("#!/usr/bin/env run-singularity\n\0", 32));
    CHECK(whole.substr(32, 16) == std::string("SIF_MAGIC\0"
                                              "01\0"
                                              "02\0",
                                              16));
    CHECK(whole.substr(48, 16) == std::string(16, '\0'));
    CHECK(whole.substr(64, 64) ==
          test::from_hex("00096e88f1ffffff 00096e88f1ffffff 2f00000000000000 3000000000000000"
                         "0010000000000000 b06d000000000000 b07d000000000000 5012000000000000"));
    CHECK(whole.substr(4096, 57) ==
          test::from_hex("04400000 01 01000000 010000f0 00000000 0080000000000000 0010000000000000"
                         "5012000000000000 00096e88f1ffffff 00096e88f1ffffff"));
    CHECK(whole.substr(4096 + 57, 16 + 128) == std::string(16 + 128, '\0'));
    CHECK(whole.substr(4096 + 201, 11) == test::from_hex("01000000 02000000 303200"));
    CHECK(whole.substr(4096 + 212, 32768 - 4096 - 212).find_first_not_of('\0') ==
          std::string::npos);
}

TEST_CASE("equal input gives equal bytes; otherwise identity and time are real") {
    CHECK(write_sif(true) == write_sif(true));
    const auto one = write_sif(false);
    const auto two = write_sif(false);
    const auto sif = read(test::file_with(one).get());
    CHECK(sif->uuid != read(test::file_with(two).get())->uuid);
    CHECK((sif->uuid[6] & 0xF0U) == 0x40U);
    CHECK((sif->uuid[8] & 0xC0U) == 0x80U);
    CHECK(sif->created > 1600000000);
    CHECK(sif->objects[0].created == sif->created);
}

TEST_CASE("an unfinished file is no image") {
    const auto fd = test::file_with("");
    image::SifWriter writer(fd.get(), {.reproducible = true});
    REQUIRE(writer.add(SifType::deffile, "", deffile));
    REQUIRE(
        base::write_all_at(fd.get(), std::vector<std::uint8_t>(10, 1), writer.partition_offset()));
    CHECK(read(fd.get()).error().code == base::Code::image_format);
    CHECK(writer.add(SifType::deffile, "", "late").error().code == base::Code::internal);
}

TEST_CASE("the table holds 48 objects and no more") {
    const auto fd = test::file_with("");
    image::SifWriter writer(fd.get(), {.reproducible = true});
    for (int i = 0; i < 47; ++i) {
        REQUIRE(writer.add(SifType::generic, "n" + std::to_string(i), "x"));
    }
    CHECK(writer.add(SifType::generic, "n", "x").error().code == base::Code::limit_exceeded);
    CHECK(writer.add(SifType::generic, std::string(128, 'n'), "x").error().code ==
          base::Code::limit_exceeded);
    REQUIRE(writer.finish(0, "vax"));
    const auto sif = read(fd.get());
    REQUIRE(sif);
    CHECK(sif->objects.size() == 48);
    CHECK(sif->descriptors_free == 0);
    CHECK(sif->primary()->architecture() == "unknown");
    CHECK(sif->arch_code == "00");
}

TEST_CASE("siftool agrees with the writer") {
    const auto siftool = test::find_program({"/usr/bin/siftool"});
    if (siftool.empty()) {
        test::skip("siftool is not installed");
        return;
    }
    const auto dir = base::TempDir::create("sif");
    REQUIRE(dir);
    const auto path = dir->path() + "/x.sif";
    auto fd = base::open_file(path, O_WRONLY | O_CREAT, 0755);
    REQUIRE(fd);
    REQUIRE(base::write_all(fd->get(), write_sif(true)));
    const auto list = test::run({siftool, "list", path});
    CHECK(list.exit_code == 0);
    INFO(list.out);
    CHECK(list.out.find("Def.FILE") != std::string::npos);
    CHECK(list.out.find("JSON.Generic") != std::string::npos);
    CHECK(list.out.find("FS (Squashfs/*System/arm64)") != std::string::npos);
    const auto header = test::run({siftool, "header", path});
    CHECK(header.exit_code == 0);
    CHECK(header.out.find("Primary Architecture: arm64") != std::string::npos);
    const auto dump = test::run({siftool, "dump", "1", path});
    CHECK(dump.out == deffile);
}
