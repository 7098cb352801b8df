// SPDX-License-Identifier: Apache-2.0
#include "launcher/image_server/report.hpp"

#include <catch2/catch.hpp>

using namespace slipway;
using base::Code;
using launcher::image_server::decode_report;
using launcher::image_server::encode_report;

namespace {

base::Result<image::ImageFile> sample() {
    image::ImageFile file;
    file.kind = image::ImageKind::sif;
    file.architecture = "arm64";
    file.roots = {{image::SifFs::squashfs, 45056, 745472}, {image::SifFs::ext3, 1, 2}};
    return file;
}

} // namespace

TEST_CASE("what an image is comes over as it was sent") {
    const auto got = decode_report(encode_report(sample()));
    REQUIRE(got);
    CHECK(got->kind == image::ImageKind::sif);
    CHECK(got->architecture == "arm64");
    REQUIRE(got->roots.size() == 2);
    CHECK(got->roots[0].fs == image::SifFs::squashfs);
    CHECK(got->roots[0].offset == 45056);
    CHECK(got->roots[0].size == 745472);
    CHECK(got->roots[1].fs == image::SifFs::ext3);
    CHECK_FALSE(got->sif);
}

TEST_CASE("an error comes over with code, message and hint, cut where it is endless") {
    const base::Result<image::ImageFile> bad =
        base::fail_errno(Code::image_corrupt, EIO, "broken", "fetch it again");
    const auto got = decode_report(encode_report(bad));
    REQUIRE(!got);
    CHECK(got.error().one_line() == bad.error().one_line());
    CHECK(got.error().sys_errno == EIO);

    const std::string endless(100'000, 'x');
    const base::Result<image::ImageFile> loud = base::fail(Code::image_format, endless, endless);
    const auto packet = encode_report(loud);
    CHECK(packet.size() <= launcher::image_server::max_report_bytes);
    CHECK(decode_report(packet).error().code == Code::image_format);
}

TEST_CASE("a server that was taken over cannot say more than the form allows") {
    auto strange = sample();
    strange->architecture = "vax; rm -rf";
    CHECK(decode_report(encode_report(strange))->architecture == "unknown");
    strange->architecture = std::string(1000, 'a');
    strange->roots.resize(1000);
    CHECK(encode_report(strange).size() <= launcher::image_server::max_report_bytes);

    const auto whole = encode_report(sample());
    for (std::size_t length = 0; length < whole.size(); ++length) {
        CHECK_FALSE(decode_report(whole.substr(0, length)));
    }
    CHECK(decode_report(whole + "x").error().code == Code::launcher_failed);
    auto kind = whole;
    kind[1] = 77;
    CHECK(decode_report(kind).error().code == Code::launcher_failed);
    auto type = whole;
    type[1 + 1 + 4 + 5 + 1] = 77; // of the first root, behind kind, architecture and count
    CHECK(decode_report(type).error().code == Code::launcher_failed);
}
