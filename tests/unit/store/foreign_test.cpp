// SPDX-License-Identifier: Apache-2.0
// Files of others in a store, and in directories that are none: nothing of them is changed, read or
// waited for.
#include "base/child.hpp"
#include "base/directory.hpp"
#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/temp_dir.hpp"
#include "store/files.hpp"
#include "store/process_id.hpp"
#include "store/layout.hpp"
#include "store_fixture.hpp"
#include "tests/support/skip.hpp"

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>

using namespace slipway;
using slipway::test::StoreFixture;

namespace {

constexpr const char* precious = "a thesis";

void write_text(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    const auto file = base::open_file(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
    REQUIRE(file);
    REQUIRE(base::write_all(file->get(), text));
}

/// Every name below a directory with what lstat says and what is in it.
std::map<std::string, std::string> listing(const std::string& root) {
    std::map<std::string, std::string> found;
    for (const auto& each : std::filesystem::recursive_directory_iterator(root)) {
        struct stat facts {};
        REQUIRE(::lstat(each.path().c_str(), &facts) == 0);
        auto text = fmt::format("{:o} {} {} {} {}", facts.st_mode, facts.st_uid, facts.st_ino,
                                facts.st_mtim.tv_sec, facts.st_mtim.tv_nsec);
        if (S_ISREG(facts.st_mode)) {
            text += base::read_file(each.path(), 1U << 20U).value_or("unreadable");
        }
        found[each.path()] = S_ISDIR(facts.st_mode) ? "directory" : text;
    }
    return found;
}

/// What people keep in directories with names like ours.
std::vector<std::string> foreign_files() {
    return {"tmp/notes.txt",
            "tmp/thesis/chapter1",
            "tmp/a.99999999.b",
            "tmp/" + store::ProcessId::self().host + ".1.0/data",
            "tmp/" + store::ProcessId::self().host + ".4194303.1/results.csv",
            "tmp/run.1.2/owner",
            "images/photo.jpg",
            "images/0123.sif",
            "pins/map.txt",
            "grants/application.txt",
            "grants/2026/letter.1",
            "leases/flat.pdf",
            "refs/bibliography.json"};
}

/// A work directory of a process of this host that is gone.
std::string dead_work(const StoreFixture& fixture, int number) {
    auto dead = store::ProcessId::self();
    dead.start += 1;
    const auto work = fmt::format("{}/tmp/{}.{}.{}", fixture.options.path, dead.host, dead.pid, number);
    write_text(work + "/owner", dead.text() + "\n");
    return work;
}

/// Why each path is left alone; of paths in the store.
std::map<std::string, std::string> left_in(const StoreFixture& fixture, const store::Store& store) {
    std::map<std::string, std::string> found;
    const auto others = store.foreign();
    REQUIRE(others);
    for (const auto& each : *others) {
        REQUIRE(each.path.starts_with(fixture.options.path + "/"));
        found[each.path.substr(fixture.options.path.size() + 1)] = each.why;
    }
    return found;
}

bool contains(const std::map<std::string, std::string>& all,
              const std::map<std::string, std::string>& part) {
    for (const auto& [path, text] : part) {
        const auto found = all.find(path);
        if (found == all.end() || found->second != text) {
            UNSCOPED_INFO(path << " changed");
            return false;
        }
    }
    return true;
}

} // namespace

TEST_CASE("a directory that is in use is no store, and nothing in it changes") {
    const auto some = GENERATE(0, 1, 2);
    StoreFixture fixture;
    auto files = foreign_files();
    if (some == 0) {
        files = {"tmp/notes.txt", "tmp/thesis/chapter1", "tmp/a.99999999.b"};
    } else if (some == 1) {
        files = {"README"};
    }
    for (const auto& name : files) {
        write_text(fixture.options.path + "/" + name, "text of " + name);
    }
    const auto before = listing(fixture.options.path);
    for (const auto access : {store::Access::private_user, store::Access::shared,
                              store::Access::read_only}) {
        fixture.options.access = access;
        const auto store = store::Store::open(fixture.options);
        REQUIRE_FALSE(store);
        CHECK(store.error().code == base::Code::store_unusable);
        CHECK(store.error().message.find("cannot become a store: it holds '") != std::string::npos);
        CHECK(store.error().hint.find("empty or a new directory") != std::string::npos);
    }
    CHECK(listing(fixture.options.path) == before);
}

TEST_CASE("foreign files in a store stay whatever is swept, cleaned and repaired") {
    StoreFixture fixture;
    const auto store = fixture.open();
    REQUIRE(StoreFixture::put(store, 1, "content"));
    for (const auto& name : foreign_files()) {
        write_text(fixture.options.path + "/" + name, "text of " + name);
    }
    const auto id = StoreFixture::id_of(1);
    // Names of ours, but not what we write there.
    REQUIRE(::mkfifo((store.directory("tmp") + "/h.1.1").c_str(), 0600) == 0);
    REQUIRE(::symlink("/etc", (store.directory("tmp") + "/h.1.2").c_str()) == 0);
    REQUIRE(::mkdir((store.directory("images") + "/" + StoreFixture::id_of(7) + ".sif").c_str(),
                    0755) == 0);
    REQUIRE(::symlink("/etc/passwd",
                      (store.directory("images") + "/" + StoreFixture::id_of(8) + ".sif").c_str()) ==
            0);
    REQUIRE(::mkdir((store.directory("pins") + "/" + StoreFixture::id_of(7)).c_str(), 0755) == 0);
    write_text(store.directory("grants") + "/" + StoreFixture::id_of(7) + "/letter", "dear sir");
    const auto before = listing(fixture.options.path);
    std::map<std::string, std::string> foreign;
    for (const auto& [path, text] : before) {
        const bool ours = path.find(id) != std::string::npos || text == "directory" ||
                          path.ends_with("/slipway-store");
        if (!ours) {
            foreign.emplace(path, text);
        }
    }
    CHECK(foreign.size() >= 17);

    const auto swept = store.sweep();
    REQUIRE(swept);
    CHECK(store.foreign()->size() >= 15);
    CHECK(contains(listing(fixture.options.path), foreign));
    const auto problems = store.fsck(true, true);
    REQUIRE(problems);
    CHECK(problems->size() >= 15);
    CHECK(contains(listing(fixture.options.path), foreign));
    REQUIRE(store.make_room(1, 1000));
    CHECK(store.list()->size() == 1);
    REQUIRE(store.remove(id, true));
    CHECK(contains(listing(fixture.options.path), foreign));
    CHECK_FALSE(store.find(StoreFixture::id_of(7)));
    CHECK_FALSE(store.find(StoreFixture::id_of(8)));
}

TEST_CASE("root touches nothing of others in its store") {
    if (::geteuid() != 0) {
        test::skip("needs root to make files of others");
        return;
    }
    StoreFixture fixture;
    const auto store = fixture.open();
    const auto id = StoreFixture::id_of(1);
    REQUIRE(StoreFixture::put(store, 1, "content"));
    auto dead = store::ProcessId::self();
    dead.start += 1;
    const auto work = fmt::format("tmp/{}.{}.77", dead.host, dead.pid);
    const std::vector<std::string> theirs{
        work + "/owner",
        "leases/" + StoreFixture::id_of(2),
        "images/" + StoreFixture::id_of(2) + ".sif",
        "images/" + StoreFixture::id_of(3) + ".json",
        "pins/" + StoreFixture::id_of(2),
        "grants/" + StoreFixture::id_of(2) + "/1000.5",
        "refs/" + StoreFixture::id_of(2) + "/" + std::string(21, '1') + "-sha256:1.json.new.1.2",
    };
    for (const auto& name : theirs) {
        const auto path = fixture.options.path + "/" + name;
        write_text(path, dead.text() + "\n");
        REQUIRE(::lchown(path.c_str(), 12345, 12345) == 0);
        const timespec old[2] = {{1, 0}, {1, 0}};
        REQUIRE(::utimensat(AT_FDCWD, path.c_str(), old, 0) == 0);
    }
    const auto before = listing(fixture.options.path);
    REQUIRE(store.sweep());
    REQUIRE(store.fsck(true, true));
    CHECK(listing(fixture.options.path) == before);
    CHECK_FALSE(store.find(StoreFixture::id_of(2))); // nor is what they planted taken for an image
    CHECK(store.find(id));
}

TEST_CASE("what is no plain file is neither read nor waited for") {
    StoreFixture fixture;
    const auto store = fixture.open();
    REQUIRE(StoreFixture::put(store, 1, "content"));
    const auto id = StoreFixture::id_of(1);
    const auto json = store.directory("images") + "/" + id + ".json";
    REQUIRE(::unlink(json.c_str()) == 0);
    REQUIRE(::mkfifo(json.c_str(), 0600) == 0);
    CHECK_FALSE(store.provenance(id));
    CHECK(store.list()->size() == 1);
    CHECK(store.fsck(false, true)->size() == 2);

    REQUIRE(store.record_ref({"docker://r/i:1", "sha256:1", "linux/amd64", id, 1}));
    const auto dir = store.directory("refs") + "/" +
                     base::names_in(store.directory("refs"))->front();
    REQUIRE(::mkfifo((dir + "/999999999999000000000-sha256:2.json").c_str(), 0600) == 0);
    REQUIRE(store.latest_ref("docker://r/i:1", "linux/amd64"));
    CHECK(store.latest_ref("docker://r/i:1", "linux/amd64")->digest == "sha256:1");

    const auto lease = store.directory("leases") + "/" + StoreFixture::id_of(2);
    REQUIRE(::mkfifo(lease.c_str(), 0600) == 0);
    CHECK(store.sweep());
    REQUIRE(::mkfifo((store.directory("pins") + "/" + id).c_str(), 0600) == 0);
    CHECK_FALSE(store.find(id)->pinned);
}

TEST_CASE("asking the file server for its time touches no file that is there") {
    const auto dir = base::TempDir::create("clock");
    REQUIRE(dir);
    const auto file = dir->path() + "/thesis";
    write_text(file, precious);
    const auto taken = dir->path() + "/" + store::clock_name(::getpid());
    const auto opened = base::open_file(dir->path(), O_RDONLY | O_DIRECTORY);
    REQUIRE(opened);
    REQUIRE(::link(file.c_str(), taken.c_str()) == 0);
    CHECK(store::server_now(opened->get()) > 0);
    CHECK(base::read_file(file, 100) == precious);
    REQUIRE(::unlink(taken.c_str()) == 0);
    REQUIRE(::mkfifo(taken.c_str(), 0600) == 0); // would hang whoever opens it to write
    CHECK(store::server_now(opened->get()) > 0);
    CHECK(base::names_in(dir->path())->size() == 2);
}

TEST_CASE("every foreign thing is named, with the reason, and left") {
    StoreFixture fixture;
    const auto store = fixture.open();
    REQUIRE(StoreFixture::put(store, 1, "content"));
    REQUIRE(store.grant(StoreFixture::id_of(1), 1000));
    REQUIRE(store.record_ref({"docker://r/i:1", "sha256:1", "linux/amd64", StoreFixture::id_of(1), 1}));
    CHECK(store.foreign()->empty());
    const auto& root = fixture.options.path;
    const auto id = StoreFixture::id_of(1);
    const auto ref = "refs/" + base::names_in(root + "/refs")->front();
    const std::vector<std::string> files{
        "README", "slipway-store.mydata.new.1.0", "slipway-store.new.1.7", "images/photo.jpg",
        "pins/map.txt", "leases/flat.pdf", "refs/bibliography.json", ref + "/notes.txt",
        "grants/" + id + "/notes.txt", "tmp/report.2024.7.new", "tmp/.clock.12"};
    for (const auto& name : files) {
        write_text(root + "/" + name, "text of " + name);
    }
    const auto linked = dead_work(fixture, 6);
    REQUIRE(::rename((linked + "/owner").c_str(), (fixture.dir.path() + "/owner").c_str()) == 0);
    REQUIRE(::symlink("../../../owner", (linked + "/owner").c_str()) == 0);
    const auto mixed = dead_work(fixture, 7);
    write_text(mixed + "/thesis.new.1.2", precious);
    const auto unnamed = fmt::format("{}/tmp/{}.4194303.8", root, store::ProcessId::self().host);
    write_text(unnamed + "/thesis.new.1.2", precious);
    const auto provenance = root + "/images/" + id + ".json";
    REQUIRE(::unlink(provenance.c_str()) == 0);
    REQUIRE(::mkfifo(provenance.c_str(), 0600) == 0);

    const auto before = listing(root);
    REQUIRE(store.sweep());
    const auto problems = store.fsck(true, true);
    REQUIRE(problems);
    CHECK(listing(root) == before);
    REQUIRE(store.remove(id, true)); // as `cache clean` does
    auto left = left_in(fixture, store);
    const auto in_store = [&](const std::string& path) { return path.substr(root.size() + 1); };
    for (const auto& name : files) {
        CAPTURE(name);
        CHECK((left[name] == "a file that slipway has not made" || name.starts_with("grants/")));
    }
    CHECK(left.count("grants/" + id + "/notes.txt") == 1);
    CHECK(left[in_store(linked) + "/owner"] == "a link that slipway has not made");
    CHECK(left[in_store(mixed) + "/thesis.new.1.2"] == "a file that slipway has not made");
    CHECK(left[in_store(unnamed) + "/thesis.new.1.2"] == "a file that slipway has not made");
    CHECK(left[in_store(provenance)] == "a FIFO that slipway has not made");
    CHECK(left.size() == files.size() + 4);
    for (const auto& [name, why] : left) {
        const auto named = std::count_if(problems->begin(), problems->end(), [&](const auto& each) {
            return each.path == root + "/" + name && !each.repaired && each.foreign;
        });
        CAPTURE(name);
        CHECK(named >= 1);
    }
}

TEST_CASE("what is mounted in a store is not emptied, also from the same file system") {
    if (::geteuid() != 0) {
        test::skip("needs root to mount");
        return;
    }
    StoreFixture fixture;
    const auto store = fixture.open();
    const auto work = dead_work(fixture, 5);
    const auto home = fixture.dir.path() + "/home";
    write_text(home + "/owner", *base::read_file(work + "/owner", 1000));
    write_text(home + "/image.sif", precious);
    const auto gone = dead_work(fixture, 6);
    auto child = base::Child::fork([&]() -> int {
        if (::unshare(CLONE_NEWNS) != 0 ||
            ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
            ::mount(home.c_str(), work.c_str(), nullptr, MS_BIND, nullptr) != 0) {
            return 77;
        }
        const auto others = store.foreign();
        return store.sweep() && others && others->size() == 1 && others->front().path == work &&
                       others->front().why == "something else is mounted there" &&
                       base::read_file(work + "/image.sif", 100) == precious
                   ? 0
                   : 1;
    });
    REQUIRE(child);
    const auto status = child->wait();
    REQUIRE(status);
    if (base::exit_code_of(*status) == 77) {
        test::skip("needs a mount namespace of its own");
        return;
    }
    CHECK(base::exit_code_of(*status) == 0);
    CHECK(base::read_file(home + "/image.sif", 100) == precious);
    CHECK(::access(gone.c_str(), F_OK) != 0); // it did look
    REQUIRE(store.sweep());
    CHECK(fixture.entries("tmp") == 0); // what was under the mount is ours
}
