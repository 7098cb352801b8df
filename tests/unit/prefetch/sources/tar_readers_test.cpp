// SPDX-License-Identifier: Apache-2.0
// Two tar readers live in this tree (docs/adr/0015): they must understand archives alike.
#include "base/fd.hpp"
#include "base/path.hpp"
#include "base/temp_dir.hpp"
#include "prefetch/convert/tar_reader.hpp"
#include "prefetch/sources/file_tree.hpp"
#include "tests/unit/prefetch/convert/tar_build.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <map>

#include <fcntl.h>

using namespace slipway;
using prefetch::convert::EntryType;
using prefetch::convert::TarEntry;
using prefetch::convert::TarReader;

namespace {

using Files = std::map<std::string, std::string>; ///< cleaned name -> content

/// Regular files as the converter reads them; nothing when it refuses the archive.
std::optional<Files> by_tar_reader(const std::string& bytes) {
    test::TextInput input(bytes, 1000);
    TarReader reader(input);
    Files files;
    TarEntry entry;
    for (;;) {
        const auto more = reader.next(entry);
        if (!more) {
            return std::nullopt;
        }
        if (!*more) {
            return files;
        }
        std::string content;
        for (;;) {
            const auto piece = reader.content();
            if (!piece) {
                return std::nullopt;
            }
            if (piece->at_end()) {
                break;
            }
            content.append(piece->hole, '\0');
            content.append(reinterpret_cast<const char*>(piece->data.data()), piece->data.size());
        }
        const auto name = base::clean_path("/" + entry.path).substr(1);
        files.erase(name); // the last entry of a name counts
        if (entry.type == EntryType::file) {
            files[name] = content;
        }
    }
}

struct Archive {
    base::TempDir dir = *base::TempDir::create("tar-readers");
    std::string path = dir.path() + "/a.tar";
    base::UniqueFd spool = *base::open_file(dir.path(), O_PATH | O_DIRECTORY);

    void write(const std::string& bytes) const {
        const auto fd = base::open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        REQUIRE(base::write_all(fd->get(), bytes));
    }
    /// The same names through the reader of archives; nothing when it refuses.
    std::optional<Files> by_tar_tree(const Files& names) const {
        const auto tree = prefetch::sources::open_tar_tree(path, spool.get(), 1 << 20);
        if (!tree) {
            return std::nullopt;
        }
        Files files;
        for (const auto& [name, ignored] : names) {
            const auto size = (*tree)->size(name);
            auto content = prefetch::sources::read_small(**tree, name, 1 << 20);
            if (!size || !content) {
                return std::nullopt;
            }
            CHECK(*size == content->size());
            files[name] = *content;
        }
        return files;
    }
};

} // namespace

TEST_CASE("both tar readers give the same files, whatever wrote the archive") {
    const auto* const format = GENERATE("v7", "ustar", "oldgnu", "gnu", "pax");
    INFO(format);
    const Archive archive;
    const auto tree = archive.dir.path() + "/tree";
    // v7 knows no name beyond 99 bytes.
    const std::string script =
        "set -e; mkdir -p " + tree + "/blobs/sha256; cd " + tree +
        "; printf a > manifest.json; head -c 70000 /dev/zero > zeros; : > empty; ln zeros hard; "
        "ln -s zeros soft; printf b > blobs/sha256/$(printf '%064d' 1); "
        "[ " + format + " = v7 ] || { mkdir -p $(printf '%090d' 2); "
        "printf c > $(printf '%090d' 2)/$(printf '%060d' 3); }; "
        "truncate -s 60000 sparse; printf d >> sparse; "
        "tar --sort=name --format=" + format + " -cf ../a.tar .";
    REQUIRE(std::system(script.c_str()) == 0);
    const auto bytes = base::read_file(archive.path, 1 << 20);
    REQUIRE(bytes);
    const auto files = by_tar_reader(*bytes);
    REQUIRE(files);
    CHECK(files->size() >= 5);
    CHECK(archive.by_tar_tree(*files) == files);
}

TEST_CASE("both tar readers agree about single oddities") {
    using namespace test;
    const std::string long_name(150, 'n');
    const std::vector<std::pair<const char*, std::string>> rows = {
        {"pax path", tar_pax("path", long_name) + tar_file("short", "x")},
        {"pax size", tar_pax("size", "3") + tar_header("s", '0', 0) + "abc" + std::string(509, '\0')},
        {"GNU long name", tar_entry("././@LongLink", 'L', long_name + '\0') + tar_file("short", "x")},
        {"twice", tar_file("a", "one") + tar_file("./a", "two")},
        {"NUL type", tar_entry("a", '\0', "x")},
        {"contiguous", tar_entry("a", '7', "x")},
        {"directory with a slash", tar_entry("d/", '5') + tar_file("d/f", "x")},
        {"global pax", tar_entry("g", 'g', pax_record("comment", "x")) + tar_file("a", "x")},
        {"one zero block", tar_file("a", "x") + std::string(512, '\0')},
        {"rubbish behind the end", tar_file("a", "x") + tar_end() + "rubbish"},
    };
    for (const auto& [what, bytes] : rows) {
        INFO(what);
        const Archive archive;
        const auto whole = bytes + tar_end();
        archive.write(whole);
        const auto files = by_tar_reader(whole);
        REQUIRE(files);
        CHECK_FALSE(files->empty());
        CHECK(archive.by_tar_tree(*files) == files);
    }
}

TEST_CASE("a damaged archive never gives different files") {
    using namespace test;
    const auto good = tar_file("a", "first") + tar_file("b", std::string(700, 'x')) + tar_end();
    for (std::size_t at = 0; at < good.size(); at += 37) {
        auto bytes = good;
        bytes[at] = static_cast<char>(bytes[at] ^ 0x55);
        INFO(at);
        const Archive archive;
        archive.write(bytes);
        const auto files = by_tar_reader(bytes);
        if (!files) {
            continue; // refused: nothing can be taken for anything else
        }
        const auto again = archive.by_tar_tree(*files);
        CHECK((!again || again == files));
    }
}
