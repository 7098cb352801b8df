// SPDX-License-Identifier: Apache-2.0
// What is a store, who may make one, and the way to it.
#include "base/child.hpp"
#include "base/directory.hpp"
#include "base/fd.hpp"
#include "base/format.hpp"
#include "store/layout.hpp"
#include "store_fixture.hpp"
#include "tests/support/skip.hpp"

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>

using namespace slipway;
using slipway::test::StoreFixture;
using store::Access;

namespace {

constexpr uid_t alice = 12345;
constexpr uid_t mallory = 23456;

/// Runs `body` as another user; its value is the number of the check that failed, 0 for none.
int as_user(uid_t uid, const std::function<int()>& body) {
    auto child = base::Child::fork([&]() -> int {
        return ::setgid(uid) == 0 && ::setuid(uid) == 0 ? body() : 99;
    });
    REQUIRE(child);
    const auto status = child->wait();
    REQUIRE(status);
    return base::exit_code_of(*status);
}

bool is_root() {
    if (::geteuid() != 0) {
        test::skip("needs root to be two users");
    }
    return ::geteuid() == 0;
}

bool refused(const store::StoreOptions& options, std::string_view why) {
    const auto store = store::Store::open(options);
    return !store && store.error().code == base::Code::store_unusable &&
           store.error().message.find(why) != std::string::npos && !store.error().hint.empty();
}

std::string mark_of(const StoreFixture& fixture) {
    return fixture.options.path + "/" + store::mark_name;
}

} // namespace

TEST_CASE("a new and an empty directory become a store with a mark") {
    StoreFixture fixture;
    if (GENERATE(true, false)) {
        REQUIRE(::mkdir(fixture.options.path.c_str(), 0700) == 0);
    }
    fixture.options.access = Access::read_only;
    const auto reader = store::Store::open(fixture.options);
    CHECK((!reader || reader->list()->empty()));
    fixture.options.access = Access::private_user;
    const auto store = fixture.open();
    CHECK(base::read_file(mark_of(fixture), 4096)->starts_with(store::mark_line));
    CHECK(fixture.open().list()->empty());
    const auto names = base::names_in(fixture.options.path);
    CHECK(names->size() == 7); // the mark and six directories, nothing else
}

TEST_CASE("a file system's own directories and a maker that was killed are in nobody's way") {
    StoreFixture fixture;
    const auto& path = fixture.options.path;
    REQUIRE(::mkdir(path.c_str(), 0700) == 0);
    REQUIRE(::mkdir((path + "/tmp").c_str(), 0700) == 0);
    REQUIRE(base::open_file(mark_of(fixture) + ".new.4194303.0", O_WRONLY | O_CREAT, 0600));
    if (::geteuid() == 0) {
        REQUIRE(::mkdir((path + "/lost+found").c_str(), 0700) == 0);
    }
    REQUIRE(fixture.open().sweep());
    CHECK(base::read_file(mark_of(fixture), 4096));
}

TEST_CASE("a store made before there were marks is known by its own files and marked once") {
    StoreFixture fixture;
    {
        const auto store = fixture.open();
        REQUIRE(StoreFixture::put(store, 1, "one"));
        REQUIRE(store.record_ref({"docker://r/i:1", "sha256:1", "linux/amd64",
                                  StoreFixture::id_of(1), 1}));
        REQUIRE(store.grant(StoreFixture::id_of(1), 1000));
        REQUIRE(store.pin(StoreFixture::id_of(1)));
    }
    const bool used = GENERATE(true, false);
    if (!used) {
        REQUIRE(fixture.open().remove(StoreFixture::id_of(1), true));
        REQUIRE(::system(("rm -rf " + fixture.options.path + "/refs/*").c_str()) == 0);
    }
    REQUIRE(::unlink(mark_of(fixture).c_str()) == 0);
    // Somebody has put a file of their own into it meanwhile. Empty directories alone do not show
    // whose they are.
    const auto readme = fixture.options.path + "/README";
    REQUIRE(base::open_file(readme, O_WRONLY | O_CREAT, 0600));
    if (!used) {
        CHECK(store::Store::open(fixture.options).error().code == base::Code::store_unusable);
        CHECK_FALSE(base::read_file(mark_of(fixture), 4096));
        REQUIRE(::unlink(readme.c_str()) == 0);
    }

    auto reading = fixture.options;
    reading.access = Access::read_only;
    const auto reader = store::Store::open(reading);
    REQUIRE(reader);
    CHECK(reader->list()->size() == (used ? 1U : 0U));
    CHECK_FALSE(base::read_file(mark_of(fixture), 4096)); // who only reads makes no mark
    const auto store = fixture.open();
    CHECK(base::read_file(mark_of(fixture), 4096));
    struct stat first {};
    struct stat second {};
    REQUIRE(::stat(mark_of(fixture).c_str(), &first) == 0);
    REQUIRE(fixture.open().sweep());
    REQUIRE(::stat(mark_of(fixture).c_str(), &second) == 0);
    CHECK(first.st_ino == second.st_ino);
    CHECK(base::names_in(fixture.options.path)->size() == (used ? 8 : 7));
    if (used) {
        CHECK(store.find(StoreFixture::id_of(1))->pinned);
        CHECK(store.find(StoreFixture::id_of(1))->granted_until > 0);
        CHECK(store.latest_ref("docker://r/i:1", "linux/amd64"));
        CHECK(store.fsck(true, true)->size() == 1); // names their README
    }
}

TEST_CASE("a mark of another version or kind is refused") {
    StoreFixture fixture;
    (void)fixture.open();
    REQUIRE(::unlink(mark_of(fixture).c_str()) == 0);
    switch (GENERATE(0, 1, 2)) {
    case 0: {
        const auto file = base::open_file(mark_of(fixture), O_WRONLY | O_CREAT, 0600);
        REQUIRE(file);
        REQUIRE(base::write_all(file->get(), "slipway image store 2\n"));
        break;
    }
    case 1:
        REQUIRE(::mkfifo(mark_of(fixture).c_str(), 0600) == 0);
        break;
    default:
        REQUIRE(::symlink("/etc/passwd", mark_of(fixture).c_str()) == 0);
    }
    CHECK(refused(fixture.options, "cannot become a store: "));
}

TEST_CASE("every directory of a store must be one, and writable for nobody else") {
    StoreFixture fixture;
    const auto store = fixture.open();
    for (const auto* part : store::part_names) {
        INFO(part);
        const auto path = store.directory(part);
        REQUIRE(::chmod(path.c_str(), 0770) == 0);
        CHECK(refused(fixture.options, "be written to by others"));
        REQUIRE(::chmod(path.c_str(), 0700) == 0);
        const auto aside = fixture.dir.path() + "/" + part;
        REQUIRE(::rename(path.c_str(), aside.c_str()) == 0);
        REQUIRE(::symlink(aside.c_str(), path.c_str()) == 0);
        CHECK(refused(fixture.options, "is no directory"));
        REQUIRE(::unlink(path.c_str()) == 0);
        REQUIRE(::rename(aside.c_str(), path.c_str()) == 0);
    }
    CHECK(store::Store::open(fixture.options));
}

TEST_CASE("directories that others planted are not used, also behind an open store") {
    if (!is_root()) {
        return;
    }
    StoreFixture fixture;
    const auto store = fixture.open();
    REQUIRE(StoreFixture::put(store, 1, "one"));
    for (const auto* part : store::part_names) {
        INFO(part);
        REQUIRE(::lchown(store.directory(part).c_str(), mallory, mallory) == 0);
        CHECK(refused(fixture.options, "belongs to uid 23456"));
        REQUIRE(::lchown(store.directory(part).c_str(), 0, 0) == 0);
    }
    REQUIRE(::lchown(store.directory("images").c_str(), mallory, mallory) == 0);
    CHECK_FALSE(store.find(StoreFixture::id_of(1)));
    CHECK_FALSE(store.list());
    CHECK_FALSE(StoreFixture::put(store, 2, "two"));
    REQUIRE(::lchown(store.directory("images").c_str(), 0, 0) == 0);
    // Readers trust the owner of the root, and nobody else.
    auto reading = fixture.options;
    reading.access = Access::read_only;
    REQUIRE(::lchown(store.directory("images").c_str(), mallory, mallory) == 0);
    const auto reader = store::Store::open(reading);
    CHECK((!reader || !reader->find(StoreFixture::id_of(1))));
}

TEST_CASE("no link of another user leads to a store") {
    if (!is_root()) {
        return;
    }
    StoreFixture fixture;
    const auto scratch = fixture.dir.path();
    const auto home = scratch + "/home";
    REQUIRE(::chmod(scratch.c_str(), 01777) == 0);
    REQUIRE(::mkdir(home.c_str(), 0700) == 0);
    REQUIRE(::chown(home.c_str(), alice, alice) == 0);
    const auto link = scratch + "/alice";
    REQUIRE(::symlink(home.c_str(), link.c_str()) == 0);
    auto options = fixture.options;
    options.path = link + "/slipway";
    // Made by another user: refused, and nothing is made behind it.
    REQUIRE(::lchown(link.c_str(), mallory, mallory) == 0);
    CHECK(as_user(alice, [&] { return refused(options, "belongs to uid 23456") ? 0 : 1; }) == 0);
    CHECK(base::names_in(home)->empty());
    // The same in the place of the store itself.
    options.path = link;
    CHECK(as_user(alice, [&] { return refused(options, "belongs to uid 23456") ? 0 : 1; }) == 0);
    CHECK(base::names_in(home)->empty());
    // One's own link, or root's, is fine.
    options.path = link + "/slipway";
    for (const uid_t owner : {alice, uid_t{0}}) {
        REQUIRE(::lchown(link.c_str(), owner, owner) == 0);
        CHECK(as_user(alice, [&] { return store::Store::open(options) ? 0 : 1; }) == 0);
    }
    // Links that lead in a circle end.
    const auto circle = scratch + "/circle";
    REQUIRE(::symlink(circle.c_str(), circle.c_str()) == 0);
    options.path = circle + "/x";
    CHECK_FALSE(store::Store::open(options));
}

TEST_CASE("a store is found through relative links, dots and a path that is relative") {
    StoreFixture fixture;
    const auto store = fixture.open();
    REQUIRE(StoreFixture::put(store, 1, "one"));
    REQUIRE(::symlink("./x/../store", (fixture.dir.path() + "/link").c_str()) == 0);
    REQUIRE(::mkdir((fixture.dir.path() + "/x").c_str(), 0700) == 0);
    auto options = fixture.options;
    options.path = fixture.dir.path() + "//x/.././link/";
    const auto other = store::Store::open(options);
    REQUIRE(other);
    CHECK(other->list()->size() == 1);
}

TEST_CASE("names that are ours, and names that are not") {
    using store::Part;
    const auto id = StoreFixture::id_of(1);
    const auto file = [](Part part, const std::string& name) {
        return store::is_written_name(part, name, S_IFREG);
    };
    CHECK(file(Part::images, id + ".sif"));
    CHECK(file(Part::images, id + ".json"));
    CHECK(file(Part::images, id + ".json.removed.12.0"));
    CHECK(file(Part::leases, id));
    CHECK(file(Part::leases, id + ".broken.12.345"));
    CHECK(file(Part::tmp, store::clock_name(12)));
    CHECK(file(Part::tmp, store::unfinished_record("host.example.org.12.0")));
    for (const auto* name : {".clock.12", "report.2024.7.new", "h.1.2.new", "slipway-record.x",
                             "slipway-clock.07", "slipway-clock.x"}) {
        INFO(name);
        CHECK_FALSE(file(Part::tmp, name));
    }
    CHECK(store::is_written_name(Part::tmp, "host.example.org.12.0", S_IFDIR));
    CHECK_FALSE(store::is_written_name(Part::images, id + ".sif", S_IFDIR));
    CHECK_FALSE(store::is_written_name(Part::images, id + ".sif", S_IFLNK));
    for (const auto* name : {"", ".", "a.b", "a.1", "a.1.b", "a.b.1", ".1.2", "a.99999999.1", "a..1",
                             "a.1.", "a.+1.2", "a.1.2.3x"}) {
        INFO(name);
        CHECK_FALSE(store::is_written_name(Part::tmp, name, S_IFDIR));
    }
    for (const auto& name : {id + ".sif.bak", "x" + id + ".sif", id.substr(1) + ".sif", id,
                             id + ".json.removed.x.0", id + ".json.removed"}) {
        INFO(name);
        CHECK_FALSE(file(Part::images, name));
    }
    CHECK(store::parse_grant_name("1000.1700000000")->uid == 1000);
    for (const auto* name : {"letter.1", "1000", "01.5", "1000.05", "1000.", ".1", "1000.1.2", "4294967296.1", "-1.1"}) {
        INFO(name);
        CHECK_FALSE(store::parse_grant_name(name));
    }
    CHECK(store::is_unfinished_mark(store::unfinished_mark(12)));
    CHECK_FALSE(store::is_unfinished_mark("slipway-store.mydata.new.1.0"));
    CHECK_FALSE(store::is_unfinished_mark("slipway-store.new.1.1"));
    CHECK(store::is_ref_record("000000000001000000000-sha256:ab.json"));
    CHECK(store::is_unfinished_ref("000000000001000000000-sha256:ab.json.new.1.2"));
    CHECK_FALSE(store::is_ref_record("000000000001000000000-letter.json"));
    CHECK_FALSE(store::is_ref_record("bibliography.json"));
    CHECK_FALSE(store::is_unfinished_ref("x.json.new.1.2"));
    for (const auto* name : {"owner", "owner.new", "owner.new.1.2", "image.sif", "provenance.json",
                             "provenance.json.new", "spool.12.0", "spool.aB3xYz"}) {
        INFO(name);
        CHECK(store::is_work_content(name));
    }
    for (const auto* name : {"thesis.new.1.2", "results.csv", "spool.longer-name", "owner.new.x", ""}) {
        INFO(name);
        CHECK_FALSE(store::is_work_content(name));
    }
}

TEST_CASE("an older store that lacks a part is recognised, completed and marked, and nothing goes") {
    StoreFixture fixture;
    {
        const auto store = fixture.open();
        REQUIRE(StoreFixture::put(store, 1, "one"));
        REQUIRE(StoreFixture::put(store, 2, "two"));
    }
    const auto& root = fixture.options.path;
    REQUIRE(::unlink(mark_of(fixture).c_str()) == 0);
    for (const auto* part : {"leases", "pins", "tmp"}) {
        REQUIRE(::rmdir((root + "/" + part).c_str()) == 0);
    }
    // Something that repairing would remove.
    REQUIRE(::unlink((root + "/images/" + StoreFixture::id_of(2) + ".json").c_str()) == 0);
    auto reading = fixture.options;
    reading.access = Access::read_only;
    CHECK(store::Store::open(reading)->list()->size() == 2);
    const auto store = fixture.open();
    CHECK(base::names_in(root)->size() == 7);
    CHECK(store.list()->size() == 2);
    const auto problems = store.fsck(true, true);
    REQUIRE(problems);
    REQUIRE(problems->size() == 2);
    CHECK_FALSE(problems->front().repaired);
    CHECK(problems->back().what.find("run it again") != std::string::npos);
    CHECK(store.list()->size() == 2);
    CHECK(fixture.open().fsck(true, true)->front().repaired); // by a run that has not marked it
    CHECK(fixture.open().list()->size() == 1);
}

namespace {

/// Works in the store at `path` as alice: 0 where that is refused as it should be, 1 where it goes
/// well, 2 where the refusal lacks the path, the cure or brevity.
int how_refused(const store::StoreOptions& usual, const std::string& path, int image) {
    return as_user(alice, [&, image] {
        auto options = usual;
        options.path = path;
        auto store = store::Store::open(options);
        auto done = store ? StoreFixture::put(*store, image, "more")
                          : base::Result<store::StoredImage>(base::Unexpected(store.error()));
        if (done) {
            return 1;
        }
        const auto& error = done.error();
        const bool good = error.code == base::Code::store_unusable && !error.hint.empty() &&
                          error.message.find(path) != std::string::npos &&
                          error.message.size() < 1000;
        if (!good) {
            (void)base::write_all(STDERR_FILENO, error.one_line() + "\n");
        }
        return good ? 0 : 2;
    });
}

} // namespace

TEST_CASE("whatever is wrong with a store, the refusal names it and the cure") {
    if (!is_root()) {
        return; // root may read and write everything: as alice
    }
    StoreFixture fixture;
    const auto scratch = fixture.dir.path();
    REQUIRE(::chmod(scratch.c_str(), 01777) == 0);
    auto& root = fixture.options.path;
    REQUIRE(as_user(alice, [&] {
                const auto store = store::Store::open(fixture.options);
                return store && StoreFixture::put(*store, 1, "one") ? 0 : 1;
            }) == 0);
    const auto refused = [&](const std::string& path, int image) {
        return how_refused(fixture.options, path, image);
    };
    for (const mode_t mode : {0000U, 0500U}) {
        for (const auto* part : {"/images", "/tmp", ""}) {
            INFO(part << " with mode " << mode);
            const auto path = root + part;
            REQUIRE(::chmod(path.c_str(), mode) == 0);
            const bool fine = *part == '\0' && mode == 0500U; // nothing is made in the root itself
            CHECK(refused(root, 2) == (fine ? 1 : 0));
            REQUIRE(::chmod(path.c_str(), 0700) == 0);
        }
    }
    REQUIRE(::chmod((root + "/images").c_str(), 0500) == 0);
    CHECK(as_user(alice, [&] {
              const auto store = store::Store::open(fixture.options);
              const auto gone = store ? store->remove(StoreFixture::id_of(1), true)
                                      : base::Result<void>(base::Unexpected(store.error()));
              return !gone && !gone.error().hint.empty() &&
                             gone.error().message.find(root) != std::string::npos
                         ? 0
                         : 1;
          }) == 0);
    REQUIRE(::chmod((root + "/images").c_str(), 0700) == 0);
    const auto empty = scratch + "/empty";
    REQUIRE(::mkdir(empty.c_str(), 0500) == 0);
    REQUIRE(::lchown(empty.c_str(), alice, alice) == 0);
    CHECK(refused(empty, 3) == 0);
    const auto circle = scratch + "/circle";
    REQUIRE(::symlink("circle", circle.c_str()) == 0);
    REQUIRE(::lchown(circle.c_str(), alice, alice) == 0);
    CHECK(refused(circle, 3) == 0);
    const auto file = base::open_file(mark_of(fixture), O_WRONLY | O_TRUNC);
    REQUIRE(file);
    REQUIRE(base::write_all(file->get(), std::string(100000, 'x')));
    CHECK(refused(root, 3) == 0);
}

TEST_CASE("a directory that is put in the place of an open store is not written to") {
    StoreFixture fixture;
    const auto store = fixture.open();
    const auto aside = fixture.dir.path() + "/aside";
    REQUIRE(::rename(fixture.options.path.c_str(), aside.c_str()) == 0);
    for (const auto* part : {"", "/images", "/tmp", "/leases"}) {
        REQUIRE(::mkdir((fixture.options.path + part).c_str(), 0700) == 0);
    }
    const auto refused = StoreFixture::put(store, 1, "one");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().message.find("is no store any more") != std::string::npos);
    CHECK(fixture.entries("tmp") == 0);
}
