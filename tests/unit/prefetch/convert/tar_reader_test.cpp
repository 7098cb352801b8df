// SPDX-License-Identifier: Apache-2.0
#include "prefetch/convert/tar_numbers.hpp"
#include "prefetch/convert/tar_reader.hpp"

#include "base/text.hpp"
#include "tar_build.hpp"

#include <catch2/catch.hpp>

using namespace slipway;
using namespace slipway::prefetch::convert;
using namespace slipway::test;
using base::Code;

namespace {

struct Seen {
    TarEntry entry;
    std::string content;
};

/// Everything in an archive, or the error that ends it.
base::Result<std::vector<Seen>> read_all(const std::string& text, std::size_t piece,
                                         TarLimits limits = {}) {
    TextInput input(text, piece);
    TarReader reader(input, limits);
    std::vector<Seen> out;
    TarEntry entry;
    for (;;) {
        TRY_ASSIGN(const bool more, reader.next(entry));
        if (!more) {
            break;
        }
        Seen seen{entry, {}};
        for (;;) {
            TRY_ASSIGN(const auto part, reader.content());
            if (part.at_end()) {
                break;
            }
            seen.content.append(static_cast<std::size_t>(part.hole), '\0');
            seen.content.append(reinterpret_cast<const char*>(part.data.data()), part.data.size());
        }
        out.push_back(std::move(seen));
    }
    TRY(reader.drain());
    return out;
}

std::int64_t number(std::string_view field) {
    const auto value =
        parse_tar_number({reinterpret_cast<const std::uint8_t*>(field.data()), field.size()});
    return value ? *value : INT64_MIN;
}

std::string pax(std::string_view records, char type = 'x') {
    return tar_entry("PaxHeaders/x", type, records);
}

std::string rehashed(std::string header) {
    header.replace(148, 8, "        ");
    unsigned sum = 0;
    for (const char c : header) {
        sum += static_cast<unsigned char>(c);
    }
    header.replace(148, 6, fmt::format("{:06o}", sum));
    header[154] = '\0';
    return header;
}

} // namespace

TEST_CASE("tar numbers are octal or base-256") {
    using namespace std::string_view_literals;
    CHECK(number("0000644\0"sv) == 0644);
    CHECK(number("   644 \0"sv) == 0644);
    CHECK(number("\0\0\0\0\0\0\0\0"sv) == 0);
    CHECK(number("77777777777\0"sv) == 077777777777);
    CHECK(number("7777777"sv) == 07777777);
    CHECK(number("\x80\0\0\0\0\0\0\x05"sv) == 5);
    CHECK(number("\xff\xff\xff\xff\xff\xff\xff\xfb"sv) == -5);
    CHECK(number("\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"sv) == INT64_MAX);
    CHECK(number("\x80\0\0\0\x80\0\0\0\0\0\0\0"sv) == INT64_MIN); // too large
    CHECK(number("\x80\0\1\0\0\0\0\0\0\0\0\0"sv) == INT64_MIN);
    CHECK(number("12x4567\0"sv) == INT64_MIN);
    CHECK(number("8\0"sv) == INT64_MIN);
    CHECK(number("-1\0"sv) == INT64_MIN);
    CHECK(number("777777777777777777777777"sv) == INT64_MIN);
}

TEST_CASE("pax records count their own length") {
    REQUIRE(parse_pax_records("11 path=ab\n12 size=123\n"));
    const auto two = parse_pax_records("11 path=ab\n12 size=123\n");
    CHECK(two->at(0).first == "path");
    CHECK(two->at(0).second == "ab");
    CHECK(two->at(1).second == "123");
    CHECK(parse_pax_records("")->empty());
    CHECK(parse_pax_records("5 k=\n")->at(0).second.empty());
    const auto with_newline = parse_pax_records("8 k=a\nb\n");
    REQUIRE(with_newline);
    CHECK(with_newline->at(0).second == "a\nb");
    for (const char* bad : {"x", "11", "11 ", "11 path=abc", "10 path=ab\n", "12 path=ab\n", "0 k=v\n",
                            "-6 k=v\n", "4 =v\n", "6 kxx\n", "99999999999999999999 k=v\n", "3 \n",
                            "2 k=v\n", " 6 k=v\n", "6k=vv\n"}) {
        INFO(bad);
        const auto result = parse_pax_records(bad);
        REQUIRE_FALSE(result);
        CHECK(result.error().code == Code::layer_invalid);
    }
}

TEST_CASE("an archive reads the same in pieces of any size") {
    const std::string long_name(150, 'n');
    const std::string archive =
        tar_file("a", "hello") + tar_entry("d/", '5') + tar_entry("l", '2', {}, "target") +
        pax(pax_record("mtime", "12.345") + pax_record("uid", "12345")) + tar_file("b", std::string(5000, 'b')) +
        tar_entry("x", 'L', long_name + '\0') + tar_file("short", "long") +
        pax(pax_record("GNU.sparse.size", "9000") + pax_record("GNU.sparse.map", "0,2,500,1") +
            pax_record("GNU.sparse.name", "sp")) +
        tar_file("GNUSparse/sp", "abc") + tar_end() + std::string(3000, '\0');
    const auto whole = read_all(archive, archive.size());
    REQUIRE(whole);
    REQUIRE(whole->size() == 6);
    CHECK(whole->at(3).entry.mtime == 12);
    CHECK(whole->at(3).entry.uid == 12345);
    CHECK(whole->at(4).entry.path == long_name);
    CHECK(whole->at(5).entry.path == "sp");
    CHECK(whole->at(5).entry.size == 9000);
    CHECK(whole->at(5).content.size() == 9000);
    CHECK(whole->at(5).content.substr(498, 4) == std::string("\0\0c\0", 4));
    for (const std::size_t piece : {1, 3, 100, 511, 512, 513, 4096}) {
        INFO(piece);
        const auto pieces = read_all(archive, piece);
        REQUIRE(pieces);
        REQUIRE(pieces->size() == whole->size());
        for (std::size_t i = 0; i < whole->size(); ++i) {
            CHECK(pieces->at(i).entry.path == whole->at(i).entry.path);
            CHECK(pieces->at(i).content == whole->at(i).content);
        }
    }
}

TEST_CASE("an archive that is cut off anywhere is an error or ends between entries") {
    const std::string archive = tar_file("a", "hello") + tar_pax("path", "pp") +
                                tar_file("b", std::string(700, 'b')) + tar_entry("d", '5');
    const std::vector<std::size_t> good_ends = {0, 1024, archive.size() - 512, archive.size()};
    for (std::size_t size = 0; size <= archive.size(); ++size) {
        const auto result = read_all(archive.substr(0, size), 200);
        // Missing padding of the last entry is tolerated: what counts is there.
        const bool in_padding = (size >= 512 + 5 && size < 1024) ||
                                (size >= archive.size() - 512 - (1024 - 700) && size < archive.size() - 512);
        const bool good = in_padding ||
                          std::find(good_ends.begin(), good_ends.end(), size) != good_ends.end();
        INFO(size);
        CHECK(result.has_value() == good);
        if (!result) {
            CHECK(result.error().code == Code::layer_invalid);
        }
    }
}

TEST_CASE("limits of the tar reader hold") {
    TarLimits limits;
    limits.pax_bytes = 100;
    limits.long_name_bytes = 50;
    limits.xattr_value_bytes = 10;
    limits.xattr_entry_bytes = 30;
    limits.sparse_pieces = 2;
    const auto code = [&](const std::string& archive) {
        const auto result = read_all(archive + tar_file("a", "abc") + tar_end(), 512, limits);
        return result ? Code::internal : result.error().code;
    };
    CHECK(code("") == Code::internal);
    CHECK(code(tar_pax("path", std::string(96, 'x'))) == Code::limit_exceeded);
    CHECK(code(tar_entry("x", 'L', std::string(51, 'n'))) == Code::limit_exceeded);
    CHECK(code(tar_pax("SCHILY.xattr.user.k", "12345678901")) == Code::limit_exceeded);
    limits.pax_bytes = 1000;
    std::string attributes;
    for (const char* name : {"a", "b", "c", "d", "e"}) {
        attributes += pax_record(std::string("SCHILY.xattr.") + name, "12345");
    }
    CHECK(code(pax(attributes)) == Code::internal); // 30 bytes of names and values
    attributes += pax_record("SCHILY.xattr.f", "1");
    CHECK(code(pax(attributes)) == Code::limit_exceeded);
    // A header of several gigabytes is refused before anything of it is read.
    const auto huge = read_all(rehashed(tar_header("x", 'x', 8'000'000'000)), 512, limits);
    REQUIRE_FALSE(huge);
    CHECK(huge.error().code == Code::limit_exceeded);
}

TEST_CASE("errors of the tar reader name the entry") {
    const auto bad = read_all(pax(pax_record("path", "some/entry") + pax_record("uid", "x")) + tar_file("a", "x"), 512);
    REQUIRE_FALSE(bad);
    CHECK(bad.error().one_line().find("some/entry") != std::string::npos);
    const auto cut = read_all(tar_header("cut/here", '0', 1000), 512);
    REQUIRE_FALSE(cut);
    CHECK(cut.error().one_line().find("cut/here") != std::string::npos);
    CHECK(cut.error().one_line().find("1000 bytes") != std::string::npos);
}

TEST_CASE("what lies behind the end of an archive is ignored") {
    const auto junk = read_all(tar_file("a", "x") + tar_end() + tar_file("b", "hidden"), 512);
    REQUIRE(junk);
    CHECK(junk->size() == 1);
    TextInput input(tar_file("a", "1") + std::string(512, '\0') + tar_file("b", "2"), 512);
    TarReader reader(input);
    TarEntry entry;
    REQUIRE(reader.next(entry));
    REQUIRE(*reader.next(entry));
    CHECK(entry.path == "b");
    CHECK(reader.notes().lone_zero_blocks == 1);
}

TEST_CASE("extended attributes come from both dialects") {
    const auto both = read_all(pax(pax_record("SCHILY.xattr.user.a", "plain") +
                                   pax_record("LIBARCHIVE.xattr.user.b%20c", "AAECAw") +
                                   pax_record("LIBARCHIVE.xattr.user.a", "b3RoZXI")) +
                                   tar_file("a", "x"),
                               512);
    REQUIRE(both);
    const auto& xattrs = both->at(0).entry.xattrs;
    REQUIRE(xattrs.size() == 2);
    CHECK(xattrs[0] == std::pair<std::string, std::string>("user.a", "plain"));
    CHECK(xattrs[1] == std::pair<std::string, std::string>("user.b c", std::string("\0\1\2\3", 4)));
    CHECK_FALSE(read_all(tar_pax("LIBARCHIVE.xattr.user.a", "!!!!") + tar_file("a", "x"), 512));
}
