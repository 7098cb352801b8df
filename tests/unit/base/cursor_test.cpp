// SPDX-License-Identifier: Apache-2.0
#include "base/cursor.hpp"

#include <catch2/catch.hpp>

using namespace slipway::base;

TEST_CASE("what is packed is read back") {
    Packer packer;
    packer.u8(7);
    packer.u16(0x1234);
    packer.u32(0xdeadbeef);
    packer.u64(1ULL << 60U);
    packer.text("hello");
    Cursor cursor(packer.data());
    CHECK(cursor.u8() == 7);
    CHECK(cursor.u16() == 0x1234);
    CHECK(cursor.u32() == 0xdeadbeef);
    CHECK(cursor.u64() == 1ULL << 60U);
    CHECK(cursor.text(100) == "hello");
    CHECK(cursor.ok());
    CHECK(cursor.at_end());
}

TEST_CASE("reading past the end fails for good") {
    Cursor cursor(std::string_view("abc"));
    CHECK(cursor.u32() == 0);
    CHECK_FALSE(cursor.ok());
    CHECK(cursor.u8() == 0);
    CHECK_FALSE(cursor.ok());
}

TEST_CASE("lengths are not believed") {
    Packer packer;
    packer.u32(0xffffffff);
    Cursor huge(packer.data());
    CHECK(huge.text(1U << 20U).empty());
    CHECK_FALSE(huge.ok());
    Packer longer;
    longer.text("abcdef");
    Cursor bounded(longer.data());
    CHECK(bounded.text(3).empty());
    CHECK_FALSE(bounded.ok());
    Cursor seeking(longer.data());
    seeking.seek(11);
    CHECK_FALSE(seeking.ok());
}
