// SPDX-License-Identifier: Apache-2.0
#include "base/directory.hpp"
#include "base/path.hpp"
#include "image/digest.hpp"
#include "image/sif.hpp"
#include "tests/support/skip.hpp"
#include "tests/unit/image/support.hpp"

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <unistd.h>

using namespace slipway;
using base::Code;
using image::SifFs;
using image::SifPart;
using image::SifType;

namespace {

base::Result<image::SifInfo> read(int fd) {
    return image::read_sif(fd, test::size_of(fd));
}

/// A file of another tool; nothing when the case is skipped.
base::UniqueFd sample(const std::string& name) {
    const auto path = test::sample(name);
    if (path.empty()) {
        return {};
    }
    auto fd = base::open_file(path, O_RDONLY);
    REQUIRE(fd);
    return std::move(*fd);
}

/// A small SIF with a deffile, one JSON object and a pretended file system of 5000 bytes.
std::string small_sif() {
    const auto fd = test::file_with("");
    image::SifWriter writer(fd.get(), {.reproducible = true});
    REQUIRE(writer.add(SifType::deffile, "", "bootstrap: docker\nfrom: x\n\n"));
    REQUIRE(writer.add(SifType::generic_json, image::oci_config_name, "{}"));
    const auto at = writer.partition_offset();
    const std::vector<std::uint8_t> data(5000, 'S');
    REQUIRE(base::write_all_at(fd.get(), data, at));
    REQUIRE(writer.finish(data.size(), "amd64"));
    return test::content_of(fd.get());
}

void poke64(std::string& bytes, std::size_t at, std::uint64_t value) {
    for (std::size_t i = 0; i < 8; ++i) {
        bytes[at + i] = static_cast<char>(value >> (8 * i));
    }
}

Code code_for(const std::string& bytes) {
    const auto got = read(test::file_with(bytes).get());
    REQUIRE(!got);
    return got.error().code;
}

constexpr std::size_t table = 4096;
constexpr std::size_t entry = 585;

} // namespace

TEST_CASE("an image of siftool is read as it was made") {
    const auto fd = sample("busybox_amd64.sif");
    if (!fd) {
        return;
    }
    const auto sif = read(fd.get());
    REQUIRE(sif);
    CHECK(sif->arch_code == "02");
    CHECK(sif->descriptors_free == 43);
    CHECK(sif->descriptors_total == 48);
    CHECK(sif->data_offset == 4096 + 48 * entry);
    CHECK(sif->data_size == sif->file_size - sif->data_offset);
    REQUIRE(sif->objects.size() == 5);
    const auto& deffile = sif->objects[0];
    CHECK(deffile.type == SifType::deffile);
    CHECK(deffile.offset == 32768);
    CHECK(deffile.size == 40);
    const auto& json = sif->objects[1];
    CHECK(json.type == SifType::generic_json);
    CHECK(json.name == "inspect-metadata.json");
    CHECK(json.offset == 36864);
    CHECK(json.group == 1);
    const auto* root = sif->primary();
    REQUIRE(root != nullptr);
    CHECK(root->id == 4);
    CHECK(root->offset == 45056);
    CHECK(root->fs() == SifFs::squashfs);
    CHECK(root->part() == SifPart::primary);
    CHECK(root->architecture() == "amd64");
    const auto& signature = sif->objects[4];
    CHECK(signature.size == 17);
    CHECK(signature.group == 0);
    CHECK(signature.linked == (image::sif_group_flag | 1));
    CHECK(image::read_deffile(fd.get(), *sif) == "BootStrap: docker\nFrom: busybox:1.33.1\n\n");
    CHECK(test::read_oci_config(fd.get(), *sif)->size() == 94);
    CHECK(image::read_inspect_metadata(fd.get(), *sif)->size() == json.size);
    CHECK(image::read_sif_object(fd.get(), *root, 100).error().code == Code::limit_exceeded);
    CHECK(!sif->is_oci_sif());
}

TEST_CASE("what the writer encodes is what other tools wrote") {
    const auto sample_path = test::sample("empty.sif");
    if (sample_path.empty()) {
        return;
    }
    const auto names = base::names_in(std::string(base::dir_name(sample_path)));
    REQUIRE(names);
    for (const auto& name : *names) {
        if (!name.ends_with(".sif")) {
            continue;
        }
        const auto fd = sample(name);
        INFO(name);
        const auto sif = read(fd.get());
        REQUIRE(sif);
        const auto whole = test::content_of(fd.get());
        const auto ours = image::encode_sif_head(*sif);
        CHECK(ours.substr(0, 128) == whole.substr(0, 128));
        CHECK(ours.substr(table) == whole.substr(table, ours.size() - table));
    }
}

TEST_CASE("other files of other tools") {
    auto fd = sample("empty.sif");
    if (!fd) {
        return;
    }
    CHECK(read(fd.get())->objects.empty());
    CHECK(read(fd.get())->primary() == nullptr);
    fd = sample("busybox_ppc64le.sif");
    CHECK(read(fd.get())->primary()->architecture() == "ppc64le");
    CHECK(read(fd.get())->primary()->offset % 65536 == 0);
    fd = sample("one-object-oci-root-index.sif");
    CHECK(read(fd.get())->is_oci_sif());
    fd = sample("two-groups.sif");
    const auto two = read(fd.get());
    REQUIRE(two);
    CHECK(two->objects.size() == 3);
    CHECK(two->objects.back().group == 2);
}

TEST_CASE("a cut file is damaged, wherever it is cut") {
    const auto whole = small_sif();
    CHECK(read(test::file_with(whole).get()));
    for (std::size_t length : {std::size_t{0}, std::size_t{1}, std::size_t{31}, std::size_t{32},
                               std::size_t{42}, std::size_t{127}}) {
        CHECK(code_for(whole.substr(0, length)) == Code::image_format);
    }
    for (std::size_t length :
         {std::size_t{128}, std::size_t{4095}, std::size_t{4096}, std::size_t{4097}, table + entry,
          table + 48 * entry - 1, table + 48 * entry, table + 48 * entry + 10, whole.size() - 5000,
          whole.size() - 1}) {
        INFO(length);
        CHECK(code_for(whole.substr(0, length)) == Code::image_corrupt);
    }
}

TEST_CASE("lying numbers are noticed") {
    const auto whole = small_sif();
    const auto broken = [&](std::size_t at, std::uint64_t value) {
        auto bytes = whole;
        poke64(bytes, at, value);
        return code_for(bytes);
    };
    for (const std::uint64_t value : {std::uint64_t{65537}, UINT64_MAX, std::uint64_t{1} << 63U,
                                      (std::uint64_t{1} << 63U) - 1, std::uint64_t{60000}}) {
        CHECK(broken(88, value) == Code::image_corrupt); // number of descriptors
    }
    for (const std::uint64_t value : {std::uint64_t{0}, std::uint64_t{127}, UINT64_MAX,
                                      (std::uint64_t{1} << 63U) - 1, std::uint64_t{40000}}) {
        CHECK(broken(96, value) == Code::image_corrupt); // place of the table
    }
    for (const std::size_t field : {17U, 25U}) { // offset and size of the third object
        for (const std::uint64_t value : {UINT64_MAX, std::uint64_t{1} << 63U,
                                          (std::uint64_t{1} << 63U) - 1, std::uint64_t{1} << 32U}) {
            CHECK(broken(table + 2 * entry + field, value) == Code::image_corrupt);
        }
    }
    auto bytes = whole;
    bytes[43] = '2';
    CHECK(code_for(bytes) == Code::image_format);
    bytes = whole;
    bytes[33] = 'X';
    CHECK(code_for(bytes) == Code::image_format);
    // The free count and the launch line are trusted by nobody.
    bytes = whole;
    poke64(bytes, 80, 12345);
    bytes.replace(0, 32, 32, '\0');
    CHECK(read(test::file_with(bytes).get()));
    // Two root file systems are one too many.
    bytes = whole;
    bytes.replace(table + 3 * entry, entry, bytes.substr(table + 2 * entry, entry));
    CHECK(code_for(bytes) == Code::image_corrupt);
}

TEST_CASE("unused slots between used ones are skipped") {
    auto bytes = small_sif();
    bytes.replace(table + entry, entry, entry, '\0');
    const auto got = read(test::file_with(bytes).get());
    REQUIRE(got);
    REQUIRE(got->objects.size() == 2);
    CHECK(got->objects[1].id == 3);
    CHECK(got->objects[1].part() == SifPart::primary);
}
