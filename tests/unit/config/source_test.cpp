// SPDX-License-Identifier: Apache-2.0
#include "base/fd.hpp"
#include "base/temp_dir.hpp"
#include "config/schema.hpp"
#include "tests/support/skip.hpp"

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

using namespace slipway;
using config::Reader;

namespace {

struct Environment {
    explicit Environment(const std::string& value) { ::setenv("SLIPWAY_CONFIG", value.c_str(), 1); }
    ~Environment() { ::unsetenv("SLIPWAY_CONFIG"); }
};

void write_file(const std::string& path, std::string_view text, mode_t mode = 0644) {
    auto file = base::open_file(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    REQUIRE(file);
    REQUIRE(base::write_all(file->get(), text));
    REQUIRE(::fchmod(file->get(), mode) == 0);
}

} // namespace

TEST_CASE("only an unprivileged reader listens to SLIPWAY_CONFIG") {
    const Environment environment("/tmp/mine.yaml");
    CHECK(config::find_source(Reader::user).path == "/tmp/mine.yaml");
    CHECK(config::find_source(Reader::user).must_exist);
    CHECK(config::find_source(Reader::privileged).path != "/tmp/mine.yaml");
    CHECK_FALSE(config::find_source(Reader::privileged).must_exist);
    CHECK(config::find_source(Reader::privileged, "/given").path == "/given");
    CHECK(config::find_source(Reader::user, "/given").path == "/given");
    CHECK(config::find_source(Reader::user, "/given").must_exist);
}

TEST_CASE("an absent file: defaults for the site's, an error for a named one") {
    const auto none = config::open_source(Reader::user, {"/nonexistent/slipway.yaml", false});
    REQUIRE(none);
    CHECK_FALSE(*none);
    const auto config = config::load_fd(none->get(), "x");
    REQUIRE(config);
    CHECK(config->source.empty());
    const auto missing = config::load(Reader::user, "/nonexistent/slipway.yaml");
    REQUIRE_FALSE(missing);
    CHECK(missing.error().one_line() ==
          "config-missing: cannot open the configuration '/nonexistent/slipway.yaml': No such file "
          "or directory (hint: check the path)");
}

TEST_CASE("directories, FIFOs and unreadable files are distinguished") {
    auto dir = base::TempDir::create("slipway-config-test");
    REQUIRE(dir);
    const auto folder = config::load(Reader::user, dir->path());
    REQUIRE_FALSE(folder);
    CHECK(folder.error().message.find("is not a plain file") != std::string::npos);
    const auto fifo = dir->path() + "/fifo";
    REQUIRE(::mkfifo(fifo.c_str(), 0644) == 0);
    CHECK_FALSE(config::load(Reader::user, fifo));
    // Nor is any of them a draft without mistakes.
    for (const auto& path : {dir->path(), fifo, std::string("/dev/null"), std::string("/dev/zero")}) {
        INFO(path);
        const auto draft = config::open_draft(path);
        REQUIRE_FALSE(draft);
        CHECK(draft.error().message.find("is not a plain file") != std::string::npos);
    }
    CHECK_FALSE(config::open_draft(dir->path() + "/none"));
    write_file(dir->path() + "/good", "store: {}\n", 0666);
    CHECK(config::open_draft(dir->path() + "/good"));
}

TEST_CASE("a file is found from where the reader is") {
    auto dir = base::TempDir::create("slipway-config-test");
    REQUIRE(dir);
    write_file(dir->path() + "/here.yaml", "launcher: {mount_home: false}\n");
    const auto back = base::open_file(".", O_RDONLY | O_DIRECTORY);
    REQUIRE(::chdir(dir->path().c_str()) == 0);
    const auto config = config::load(Reader::user, "here.yaml");
    REQUIRE(::fchdir(back->get()) == 0);
    REQUIRE(config);
    CHECK_FALSE(config->launcher.mount_home);
}

TEST_CASE("what privilege reads must belong to root alone") {
    if (::geteuid() != 0) {
        test::skip("needs root to make files of root");
        return;
    }
    auto dir = base::TempDir::create("slipway-config-test");
    REQUIRE(dir);
    REQUIRE(::chmod(dir->path().c_str(), 0755) == 0);
    const auto path = dir->path() + "/slipway.yaml";
    write_file(path, "launcher: {mount_home: false}\n");
    const auto good = config::load(Reader::privileged, path);
    REQUIRE(good);
    CHECK_FALSE(good->launcher.mount_home);

    const auto code_of = [&](Reader reader) {
        const auto result = config::load(reader, path);
        return result ? std::string("ok") : std::string(base::code_name(result.error().code));
    };
    for (const mode_t mode : {0664, 0646, 0666, 0620}) {
        REQUIRE(::chmod(path.c_str(), mode) == 0);
        CHECK(code_of(Reader::privileged) == "config-insecure");
        CHECK(code_of(Reader::user) == "config-insecure"); // the caller is root
    }
    REQUIRE(::chmod(path.c_str(), 0644) == 0);
    REQUIRE(::chown(path.c_str(), 12345, 0) == 0);
    CHECK(code_of(Reader::privileged) == "config-insecure");
    REQUIRE(::chown(path.c_str(), 0, 0) == 0);
    REQUIRE(::chmod(dir->path().c_str(), 0777) == 0);
    CHECK(code_of(Reader::privileged) == "config-insecure");
    REQUIRE(::chmod(dir->path().c_str(), 01777) == 0);
    CHECK(code_of(Reader::privileged) == "ok");
    REQUIRE(::chmod(dir->path().c_str(), 0755) == 0);
    REQUIRE(::chown(dir->path().c_str(), 12345, 0) == 0);
    CHECK(code_of(Reader::privileged) == "config-insecure");
    REQUIRE(::chown(dir->path().c_str(), 0, 0) == 0);
    CHECK(code_of(Reader::privileged) == "ok");

    SECTION("a symlink is followed, and its target judged") {
        const auto link = dir->path() + "/link.yaml";
        REQUIRE(::symlink(path.c_str(), link.c_str()) == 0);
        CHECK(config::load(Reader::privileged, link));
        REQUIRE(::lchown(link.c_str(), 12345, 12345) == 0);
        CHECK_FALSE(config::load(Reader::privileged, link)); // who owns it may point it elsewhere
        REQUIRE(::lchown(link.c_str(), 0, 0) == 0);
        REQUIRE(::chmod(path.c_str(), 0666) == 0);
        CHECK_FALSE(config::load(Reader::privileged, link));
    }
}
