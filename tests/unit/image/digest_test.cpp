// SPDX-License-Identifier: Apache-2.0
#include "image/digest.hpp"
#include "tests/unit/image/support.hpp"

#include <catch2/catch.hpp>

using namespace slipway;
using image::Digest;

namespace {
const std::string of_nothing =
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
}

TEST_CASE("a digest is accepted only in its one spelling") {
    CHECK(Digest::parse(of_nothing)->text() == of_nothing);
    CHECK(Digest::parse(of_nothing)->hex() == of_nothing.substr(7));
    CHECK(Digest::parse(of_nothing)->algorithm() == "sha256");
    CHECK(Digest::parse("sha512:" + std::string(128, 'a')));
    auto upper = of_nothing;
    upper[8] = 'B';
    for (const auto& bad : std::vector<std::string>{
             "", "sha256", "sha256:", of_nothing.substr(0, 70), of_nothing + "0", upper,
             "SHA256:" + of_nothing.substr(7), of_nothing.substr(7), " " + of_nothing,
             of_nothing + "\n", "md5:d41d8cd98f00b204e9800998ecf8427e",
             "sha512:" + of_nothing.substr(7), "sha256:" + std::string(63, 'a') + "/",
             "sha256:../" + std::string(61, 'a')}) {
        INFO(bad);
        const auto got = Digest::parse(bad);
        REQUIRE(!got);
        CHECK(got.error().code == base::Code::reference_invalid);
    }
    CHECK(Digest().empty());
    CHECK(Digest().hex().empty());
}

TEST_CASE("hashers give the known values and start again") {
    image::Sha256 hasher;
    CHECK(hasher.finish().text() == of_nothing);
    hasher.update("a");
    hasher.update("bc");
    CHECK(hasher.finish().hex() ==
          "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(hasher.finish().text() == of_nothing);
    CHECK(image::sha256_hex("abc") ==
          "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    image::Hasher other(*Digest::parse("sha512:" + std::string(128, '0')));
    other.update("abc");
    CHECK(other.finish().text().substr(0, 39) == "sha512:ddaf35a193617abacc417349ae204131");
}

TEST_CASE("a part of a file is hashed where it lies") {
    const auto fd = test::file_with("xxabcyy");
    CHECK(*image::sha256_of_file(fd.get(), 2, 3) == image::sha256(std::string_view("abc")));
    CHECK(*image::sha256_of_file(fd.get(), 7, 0) == *Digest::parse(of_nothing));
    const std::string big(700000, 'q');
    CHECK(*image::sha256_of_file(test::file_with(big).get(), 0, big.size()) == image::sha256(big));
    CHECK(image::sha256_of_file(fd.get(), 2, 6).error().code == base::Code::io);
}

TEST_CASE("an unexpected digest is an error that names both") {
    const auto one = image::sha256(std::string_view("1"));
    const auto two = image::sha256(std::string_view("2"));
    CHECK(image::require_digest(one, one, "layer 1"));
    const auto got = image::require_digest(one, two, "layer 1");
    REQUIRE(!got);
    CHECK(got.error().code == base::Code::digest_mismatch);
    CHECK(got.error().message.find(one.text()) != std::string::npos);
    CHECK(got.error().message.find(two.text()) != std::string::npos);
    CHECK(!image::require_digest(Digest(), Digest(), "nothing"));
}
