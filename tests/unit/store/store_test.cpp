// SPDX-License-Identifier: Apache-2.0
#include "base/directory.hpp"
#include "base/fd.hpp"
#include "base/path.hpp"
#include "store_fixture.hpp"

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ctime>
#include <thread>

using namespace slipway;
using slipway::test::StoreFixture;

TEST_CASE("an id depends on all four parts and on nothing else") {
    const auto id = store::image_id("sha256:a", "linux/amd64", "zstd-3", "1");
    CHECK(store::is_image_id(id));
    CHECK(id == store::image_id("sha256:a", "linux/amd64", "zstd-3", "1"));
    CHECK(id != store::image_id("sha256:b", "linux/amd64", "zstd-3", "1"));
    CHECK(id != store::image_id("sha256:a", "linux/arm64", "zstd-3", "1"));
    CHECK(id != store::image_id("sha256:a", "linux/amd64", "gzip", "1"));
    CHECK(id != store::image_id("sha256:a", "linux/amd64", "zstd-3", "2"));
    // Parts cannot flow into each other.
    CHECK(store::image_id("ab", "c", "", "") != store::image_id("a", "bc", "", ""));
    CHECK_FALSE(store::is_image_id("../../etc/passwd"));
    CHECK_FALSE(store::is_image_id(std::string(64, 'A')));
}

TEST_CASE("what is published can be found, with its provenance") {
    StoreFixture fixture;
    const auto store = fixture.open();
    CHECK_FALSE(store.find(StoreFixture::id_of(1)));
    const auto put = StoreFixture::put(store, 1, "content");
    REQUIRE(put);
    CHECK(put->size == 7);
    const auto found = store.find(put->id);
    REQUIRE(found);
    CHECK(base::read_file(found->path, 100) == std::string("content"));
    const auto provenance = store.provenance(put->id);
    REQUIRE(provenance);
    CHECK(provenance->layers.size() == 2);
    CHECK(provenance->reference == "docker://registry/image:1");
    CHECK(fixture.entries("tmp") == 0);
    CHECK(store.list()->size() == 1);
}

TEST_CASE("publishing twice keeps the first image and is no error") {
    StoreFixture fixture;
    const auto store = fixture.open();
    REQUIRE(StoreFixture::put(store, 1, "first"));
    struct stat before {};
    REQUIRE(::stat(store.image_path(StoreFixture::id_of(1)).c_str(), &before) == 0);
    REQUIRE(StoreFixture::put(store, 1, "other"));
    struct stat after {};
    REQUIRE(::stat(store.image_path(StoreFixture::id_of(1)).c_str(), &after) == 0);
    CHECK(before.st_ino == after.st_ino);
    CHECK(fixture.entries("images") == 2);
}

TEST_CASE("modes follow who may read the store") {
    StoreFixture fixture;
    const auto mode = [](const std::string& path) {
        struct stat st {};
        REQUIRE(::stat(path.c_str(), &st) == 0);
        return st.st_mode & 07777U;
    };
    const auto mask = ::umask(077);
    fixture.options.access = store::Access::shared;
    {
        const auto store = fixture.open();
        REQUIRE(StoreFixture::put(store, 1, "x"));
        CHECK(mode(store.image_path(StoreFixture::id_of(1))) == 0555);
        CHECK(mode(store.directory("images")) == 0755);
        CHECK(mode(store.directory("images") + "/" + StoreFixture::id_of(1) + ".json") == 0644);
    }
    ::umask(mask);
    StoreFixture own;
    const auto store = own.open();
    REQUIRE(StoreFixture::put(store, 1, "x"));
    CHECK(mode(store.directory("images")) == 0700);
    CHECK(mode(store.image_path(StoreFixture::id_of(1))) == 0500);
}

TEST_CASE("a store that others may write to is refused") {
    StoreFixture fixture;
    REQUIRE(::mkdir(fixture.options.path.c_str(), 0755) == 0);
    REQUIRE(::chmod(fixture.options.path.c_str(), 0777) == 0);
    const auto store = store::Store::open(fixture.options);
    REQUIRE_FALSE(store);
    CHECK(store.error().code == base::Code::store_unusable);
}

TEST_CASE("a path that is no directory is refused") {
    StoreFixture fixture;
    REQUIRE(base::open_file(fixture.options.path, O_WRONLY | O_CREAT, 0600));
    CHECK_FALSE(store::Store::open(fixture.options));
    fixture.options.path += "/none";
    fixture.options.access = store::Access::read_only;
    const auto store = store::Store::open(fixture.options);
    REQUIRE_FALSE(store);
    CHECK(store.error().code == base::Code::store_unusable);
    CHECK_FALSE(store.error().hint.empty());
}

TEST_CASE("the newest record of a reference decides, also when a tag moves back") {
    StoreFixture fixture;
    const auto store = fixture.open();
    const std::string ref = "docker://registry/image:latest";
    CHECK_FALSE(store.latest_ref(ref, "linux/amd64"));
    for (const int number : {1, 2, 1}) {
        REQUIRE(store.record_ref({ref, "sha256:" + std::to_string(number), "linux/amd64",
                                  StoreFixture::id_of(number), ::time(nullptr)}));
        const auto latest = store.latest_ref(ref, "linux/amd64");
        REQUIRE(latest);
        CHECK(latest->id == StoreFixture::id_of(number));
    }
    CHECK_FALSE(store.latest_ref(ref, "linux/arm64"));
    for (int i = 0; i < 40; ++i) {
        REQUIRE(store.record_ref({ref, "sha256:2", "linux/amd64", StoreFixture::id_of(2), 0}));
    }
    const auto dirs = base::names_in(store.directory("refs"));
    REQUIRE(dirs->size() == 1);
    CHECK(base::names_in(store.directory("refs") + "/" + dirs->front())->size() == 16);
}

TEST_CASE("an image that must be there is looked for until it appears") {
    StoreFixture fixture;
    fixture.options.appear_ms = 5000;
    const auto store = fixture.open();
    // What an NFS client with a stale attribute cache sees: the file turns up later.
    std::thread later([&] {
        ::usleep(250000);
        (void)StoreFixture::put(store, 3, "late");
    });
    const auto found = store.expect(StoreFixture::id_of(3));
    later.join();
    REQUIRE(found);
    CHECK(found->size == 4);
    fixture.options.appear_ms = 100;
    const auto missing = fixture.open().expect(StoreFixture::id_of(4));
    REQUIRE_FALSE(missing);
    CHECK(missing.error().code == base::Code::not_staged);
}

TEST_CASE("room is made from ungranted, unpinned images, least wanted first") {
    StoreFixture fixture;
    const std::string big(100000, 'x');
    {
        const auto store = fixture.open();
        for (const int number : {1, 2, 3, 4}) {
            REQUIRE(StoreFixture::put(store, number, big));
            // Publication times a minute apart.
            const timespec times[2] = {{0, UTIME_OMIT}, {1700000000 + number * 60, 0}};
            REQUIRE(::utimensat(AT_FDCWD, store.image_path(StoreFixture::id_of(number)).c_str(),
                                times, 0) == 0);
        }
        REQUIRE(store.grant(StoreFixture::id_of(1), 1000));
        REQUIRE(store.pin(StoreFixture::id_of(2)));
    }
    fixture.options.quota = 450000;
    const auto store = fixture.open();
    const auto collected = store.make_room(100000, 1000);
    REQUIRE(collected);
    CHECK(*collected == std::vector<store::ImageId>{StoreFixture::id_of(3)});
    CHECK(store.find(StoreFixture::id_of(1)));
    CHECK(store.find(StoreFixture::id_of(2)));
    CHECK_FALSE(store.find(StoreFixture::id_of(3)));
    const auto refused = store.make_room(400000, 1000);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == base::Code::quota_exceeded);
    CHECK(store.find(StoreFixture::id_of(1)));
    CHECK(store.find(StoreFixture::id_of(2)));
}

TEST_CASE("grants are renewed per user and kept apart") {
    StoreFixture fixture;
    const auto store = fixture.open();
    REQUIRE(StoreFixture::put(store, 1, "x"));
    const auto id = StoreFixture::id_of(1);
    REQUIRE(store.grant(id, 1000));
    REQUIRE(store.grant(id, 1000));
    REQUIRE(store.grant(id, 1001));
    CHECK(base::names_in(store.directory("grants") + "/" + id)->size() == 2);
    CHECK(store.find(id)->granted_until > ::time(nullptr));
    CHECK(store.remove(id, false).error().code == base::Code::option_conflict);
    CHECK(store.find(id));
    REQUIRE(store.remove(id, true));
    CHECK_FALSE(store.find(id));
    CHECK(fixture.entries("grants") == 0);
    CHECK(fixture.entries("images") == 0);
    CHECK(store.remove(id, true).error().code == base::Code::not_staged);
}

TEST_CASE("fsck finds wrong sizes, wrong bytes, foreign files and orphans") {
    StoreFixture fixture;
    const auto store = fixture.open();
    for (const int number : {1, 2, 3}) {
        REQUIRE(StoreFixture::put(store, number, "content"));
    }
    CHECK(store.fsck(false, true)->empty());
    auto damage = [&](int number, const std::string& bytes) {
        const auto path = store.image_path(StoreFixture::id_of(number));
        REQUIRE(::chmod(path.c_str(), 0600) == 0);
        const auto file = base::open_file(path, O_WRONLY | O_TRUNC);
        REQUIRE(file);
        REQUIRE(base::write_all(file->get(), bytes));
    };
    damage(1, "short");
    damage(2, "CONTENT");
    REQUIRE(base::open_file(store.directory("images") + "/foreign", O_WRONLY | O_CREAT, 0600));
    const auto gone = store.directory("grants") + "/" + StoreFixture::id_of(9);
    REQUIRE(::mkdir(gone.c_str(), 0700) == 0);
    REQUIRE(base::open_file(gone + "/1000.1", O_WRONLY | O_CREAT, 0600));
    CHECK(store.fsck(false, false)->size() == 3);
    CHECK(store.fsck(false, true)->size() == 4);
    CHECK(store.find(StoreFixture::id_of(1)));
    CHECK(store.fsck(true, true)->size() == 4);
    const auto left = store.fsck(true, true);
    REQUIRE(left->size() == 1);
    CHECK(left->front().path == store.directory("images") + "/foreign");
    CHECK_FALSE(left->front().repaired);
    CHECK(store.list()->size() == 1);
    CHECK(fixture.entries("grants") == 0);
}

TEST_CASE("a store is the same through two mounts of its directory") {
    // Without the right to mount, a second path to the same directory stands for the second host.
    StoreFixture fixture;
    const auto first = fixture.open();
    auto other = fixture.options;
    REQUIRE(::symlink(fixture.options.path.c_str(), (fixture.dir.path() + "/mount2").c_str()) == 0);
    other.path = fixture.dir.path() + "/mount2";
    const auto second = store::Store::open(other);
    REQUIRE(second);
    REQUIRE(StoreFixture::put(first, 1, "one"));
    REQUIRE(StoreFixture::put(*second, 1, "one"));
    CHECK(second->list()->size() == 1);
    CHECK(first.find(StoreFixture::id_of(1))->size == 3);
}

TEST_CASE("a commit whose answer was lost is found done") {
    // NFS: the server made the link, the answer was lost, and the client's second try says EEXIST.
    StoreFixture fixture;
    int lost = 0;
    fixture.options.before_step = [&](std::string_view step) -> base::Result<void> {
        if (step == "commit" || step == "provenance-link") {
            const auto work = fixture.options.path + "/tmp";
            const auto names = base::names_in(work);
            REQUIRE(names);
            REQUIRE(names->size() == 1);
            const bool image = step == "commit";
            const auto from = work + "/" + names->front() + (image ? "/image.sif" : "/provenance.json");
            const auto to = fixture.options.path + "/images/" + StoreFixture::id_of(1) +
                            (image ? ".sif" : ".json");
            REQUIRE(::link(from.c_str(), to.c_str()) == 0);
            ++lost;
        }
        return {};
    };
    const auto store = fixture.open();
    const auto image = StoreFixture::put(store, 1, "content");
    REQUIRE(image);
    CHECK(lost == 2);
    CHECK(base::read_file(image->path, 100) == "content");
    CHECK(fixture.entries("tmp") == 0);
    CHECK(store.fsck(false, true)->empty());
}

TEST_CASE("fsck condemns no image for what it could not read just now") {
    StoreFixture fixture;
    const auto store = fixture.open();
    REQUIRE(StoreFixture::put(store, 1, "content"));
    const auto json = store.directory("images") + "/" + StoreFixture::id_of(1) + ".json";
    REQUIRE(::unlink(json.c_str()) == 0);
    REQUIRE(::mkdir(json.c_str(), 0700) == 0); // reading it fails, and not because it is missing
    const auto problems = store.fsck(true, true);
    REQUIRE(problems->size() == 2); // and a directory with that name is not the store's
    CHECK_FALSE(problems->front().repaired);
    CHECK(store.find(StoreFixture::id_of(1)));
    REQUIRE(::rmdir(json.c_str()) == 0);
    REQUIRE(store.fsck(true, true)->size() == 1); // now it is really gone
    CHECK_FALSE(store.find(StoreFixture::id_of(1)));
}

TEST_CASE("provenance of the same bytes stays, of other bytes is replaced") {
    StoreFixture fixture;
    const auto inode = [&](const std::string& path) {
        struct stat st {};
        REQUIRE(::stat(path.c_str(), &st) == 0);
        return st.st_ino;
    };
    auto options = fixture.options;
    options.before_step = [](std::string_view step) -> base::Result<void> {
        return step == "commit" ? base::fail(base::Code::interrupted, "died here")
                                : base::Result<void>();
    };
    const auto dying = store::Store::open(options);
    REQUIRE(dying);
    const auto json = dying->directory("images") + "/" + StoreFixture::id_of(1) + ".json";
    const auto store = fixture.open();
    for (const bool same : {true, false}) {
        REQUIRE_FALSE(StoreFixture::put(*dying, 1, "bytes"));
        const auto left = inode(json);
        const auto keep = base::open_file(json, O_RDONLY); // so that its inode is not used again
        REQUIRE(keep);
        REQUIRE(StoreFixture::put(store, 1, same ? "bytes" : "other bytes"));
        CHECK((inode(json) == left) == same);
        CHECK(store.fsck(false, true)->empty());
        REQUIRE(store.remove(StoreFixture::id_of(1), true));
    }
}

TEST_CASE("a removal that races with publishing does not take the new provenance") {
    StoreFixture fixture;
    const auto store = fixture.open();
    REQUIRE(StoreFixture::put(store, 1, "one"));
    // Somebody publishes the same image again between any two steps of its removal.
    for (const auto* at : {"drop-grants", "drop-image", "drop-provenance", "drop-look", "drop-aside"}) {
        INFO(at);
        auto options = fixture.options;
        options.before_step = [&](std::string_view step) -> base::Result<void> {
            if (step == at) {
                REQUIRE(StoreFixture::put(store, 1, "one"));
            }
            return {};
        };
        const auto remover = store::Store::open(options);
        REQUIRE(remover);
        REQUIRE(remover->remove(StoreFixture::id_of(1), true));
        CHECK(store.find(StoreFixture::id_of(1)).has_value() ==
              store.provenance(StoreFixture::id_of(1)).has_value());
        CHECK(store.fsck(false, true)->empty());
        REQUIRE(StoreFixture::put(store, 1, "one"));
    }
    // And the other way round: a whole removal, or one that dies aside, between the steps of a
    // publisher.
    for (const auto* at : {"provenance-write", "provenance-link", "provenance-sync", "commit",
                           "provenance-again", "commit-sync"}) {
        for (const bool dies : {false, true}) {
            INFO(at << " dies " << dies);
            auto dropping = fixture.options;
            dropping.before_step = [&](std::string_view step) -> base::Result<void> {
                return dies && step == "drop-look" ? base::fail(base::Code::interrupted, "died here")
                                                   : base::Result<void>();
            };
            const auto remover = store::Store::open(dropping);
            REQUIRE(remover);
            auto options = fixture.options;
            options.appear_ms = 0;
            options.before_step = [&](std::string_view step) -> base::Result<void> {
                if (step == at) {
                    (void)remover->remove(StoreFixture::id_of(1), true);
                }
                return {};
            };
            const auto publisher = store::Store::open(options);
            REQUIRE(publisher);
            (void)StoreFixture::put(*publisher, 1, "one");
            REQUIRE(store.sweep()); // puts back what a dead remover had moved aside
            CHECK(store.find(StoreFixture::id_of(1)).has_value() <=
                  store.provenance(StoreFixture::id_of(1)).has_value());
            REQUIRE(StoreFixture::put(store, 1, "one"));
        }
    }
}

TEST_CASE("an image that is granted while room is made stays") {
    StoreFixture fixture;
    const auto store = fixture.open();
    REQUIRE(StoreFixture::put(store, 1, std::string(20000, 'a')));
    REQUIRE(StoreFixture::put(store, 2, std::string(20000, 'b')));
    auto options = fixture.options;
    options.quota = 60000;
    int granted = 0;
    options.before_step = [&](std::string_view step) -> base::Result<void> {
        if (step == "drop-image" && ++granted == 1) {
            for (const int number : {1, 2}) {
                REQUIRE(store.grant(StoreFixture::id_of(number), 1000));
            }
        }
        return {};
    };
    const auto collecting = store::Store::open(options);
    REQUIRE(collecting);
    CHECK_FALSE(
        collecting->make_room(58000, 1000)); // the first went before it was granted, one must stay
    CHECK(store.list()->size() == 1);
}
