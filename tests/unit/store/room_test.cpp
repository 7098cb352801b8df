// SPDX-License-Identifier: Apache-2.0
// Room for new images: promises, shares, and what goes for whom.
#include "base/directory.hpp"
#include "base/fd.hpp"
#include "base/format.hpp"
#include "store/process_id.hpp"
#include "store/layout.hpp"
#include "store_fixture.hpp"

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ctime>

using namespace slipway;
using base::Code;
using slipway::test::StoreFixture;

namespace {

constexpr std::uint32_t alice = 1000;
constexpr std::uint32_t bob = 1001;
constexpr std::uint32_t carol = 1002;
constexpr std::uint64_t piece = 102400; ///< of one image, a whole number of blocks

/// A shared store of ten images' size, of which a user's grants may hold three.
struct Shared : StoreFixture {
    Shared() {
        options.access = store::Access::shared;
        options.quota = 10 * piece;
        options.user_share = 30;
    }
};

base::Result<store::StoredImage> put(const store::Store& store, int number, std::uint32_t uid) {
    const std::string content(piece, 'x');
    const auto id = StoreFixture::id_of(number);
    TRY_ASSIGN(const auto work, store.make_work_dir());
    TRY_ASSIGN(auto file, work.create("image.sif"));
    TRY(base::write_all(file.get(), content));
    TRY(file.close());
    auto what = StoreFixture::provenance_of(id, content);
    what.uid = uid;
    TRY_ASSIGN(auto image, store.publish(id, work, "image.sif", what));
    // Published a minute apart, long ago.
    const timespec times[2] = {{0, UTIME_OMIT}, {1700000000 + number * 60, 0}};
    (void)::utimensat(AT_FDCWD, image.path.c_str(), times, 0);
    return image;
}

/// A grant that was given `age` seconds ago.
void grant_of_age(const store::Store& store, int number, std::uint32_t uid, std::int64_t age) {
    const auto id = StoreFixture::id_of(number);
    REQUIRE(store.grant(id, uid));
    const auto dir = store.directory("grants") + "/" + id;
    const auto names = base::names_in(dir);
    for (const auto& name : *names) {
        if (name.starts_with(std::to_string(uid) + ".")) {
            const auto until = ::time(nullptr) +
                               static_cast<std::int64_t>(store.options().max_job_time) - age;
            REQUIRE(::rename((dir + "/" + name).c_str(),
                             fmt::format("{}/{}.{}", dir, uid, until).c_str()) == 0);
        }
    }
}

void have(const store::Store& store, int first, int last, std::uint32_t uid, bool granted) {
    for (int number = first; number <= last; ++number) {
        REQUIRE(put(store, number, uid));
        if (granted) {
            grant_of_age(store, number, uid, 1000 - number);
        }
    }
}

} // namespace

TEST_CASE("a promise removes nothing, and what can never fit is refused") {
    Shared fixture;
    const auto store = fixture.open();
    have(store, 1, 9, bob, false);
    CHECK(store.reserve(3 * piece, alice));
    const auto refused = store.reserve(std::uint64_t{4} << 40U, alice);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Code::quota_exceeded);
    CHECK(refused.error().message.find("while it is made, and the store's quota is") !=
          std::string::npos);
    // Just under the quota: it would need more of others' images than one user's share.
    CHECK_FALSE(store.reserve(10 * piece - 1, alice));
    CHECK_FALSE(store.make_room(10 * piece - 1, alice));
    CHECK(store.list()->size() == 9);
}

TEST_CASE("unfinished work counts when new work is asked for, not when an image is finished") {
    Shared fixture;
    const auto store = fixture.open();
    have(store, 1, 6, bob, true); // three are within bob's share
    const auto work = store.make_work_dir();
    REQUIRE(work);
    {
        const auto spool = work->create("spool");
        REQUIRE(spool);
        REQUIRE(base::write_all(spool->get(), std::string(5 * piece, 's')));
    }
    CHECK_FALSE(store.reserve(3 * piece, alice));
    REQUIRE(put(store, 10, alice));
    CHECK(store.list()->size() == 7);
}

TEST_CASE("a finished image takes the place of what nobody wants, and no more than it needs") {
    Shared fixture;
    const auto store = fixture.open();
    have(store, 1, 10, bob, false);
    REQUIRE(put(store, 11, alice));
    CHECK(store.list()->size() == 10);
    CHECK_FALSE(store.find(StoreFixture::id_of(1))); // the oldest
    CHECK(store.find(StoreFixture::id_of(2)));
}

TEST_CASE("a quota full of images that jobs may need refuses a finished image, too") {
    Shared fixture;
    fixture.options.user_share = 100;
    const auto store = fixture.open();
    have(store, 1, 10, bob, true);
    const auto refused = put(store, 11, alice);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Code::quota_exceeded);
    CHECK(store.list()->size() == 10);
    CHECK(fixture.entries("tmp") == 0);
}

TEST_CASE("the grants of one user hold their share and no more, the newest first") {
    Shared fixture;
    const auto store = fixture.open();
    have(store, 1, 10, bob, true); // ten grants, a share of three
    // Others get in, one after the other, in the place of bob's oldest.
    for (int number = 11; number <= 17; ++number) {
        INFO(number);
        REQUIRE(put(store, number, number % 2 == 0 ? alice : carol));
        grant_of_age(store, number, number % 2 == 0 ? alice : carol, 0);
        CHECK_FALSE(store.find(StoreFixture::id_of(number - 10)));
    }
    // Now everybody is within their share or, alice and carol, just beyond with what they had last.
    for (int number = 8; number <= 10; ++number) {
        CHECK(store.find(StoreFixture::id_of(number)));
    }
    CHECK(store.list()->size() == 10);
}

TEST_CASE("who is beyond their share makes room with their own images first") {
    Shared fixture;
    const auto store = fixture.open();
    have(store, 1, 5, bob, false);
    have(store, 6, 10, alice, true); // two beyond the share
    REQUIRE(put(store, 11, alice));
    CHECK_FALSE(store.find(StoreFixture::id_of(6)));
    CHECK(store.find(StoreFixture::id_of(1)));
    // Somebody else's image goes in the place of what was not asked for the longest.
    REQUIRE(put(store, 12, carol));
    CHECK_FALSE(store.find(StoreFixture::id_of(1)));
    CHECK(store.find(StoreFixture::id_of(7)));
}

TEST_CASE("an image that two users were granted is held by either share") {
    Shared fixture;
    const auto store = fixture.open();
    have(store, 1, 10, bob, true);
    grant_of_age(store, 1, alice, 5);
    REQUIRE(put(store, 11, carol));
    CHECK(store.find(StoreFixture::id_of(1)));
    CHECK_FALSE(store.find(StoreFixture::id_of(2)));
}

TEST_CASE("in a store of one's own there are no shares") {
    StoreFixture fixture;
    fixture.options.quota = 10 * piece;
    fixture.options.user_share = 30;
    const auto store = fixture.open();
    have(store, 1, 10, alice, true);
    CHECK_FALSE(put(store, 11, alice));
    CHECK(store.list()->size() == 10);
}

TEST_CASE("only images of this store are granted, and grants of gone ones are pruned") {
    StoreFixture fixture;
    const auto store = fixture.open();
    const auto id = StoreFixture::id_of(1);
    const auto missing = store.grant(id, alice);
    REQUIRE_FALSE(missing);
    CHECK(missing.error().code == Code::not_staged);
    CHECK(fixture.entries("grants") == 0);
    REQUIRE(put(store, 1, alice));
    auto reading = fixture.options;
    reading.access = store::Access::read_only;
    CHECK(store::Store::open(reading)->grant(id, alice).error().code == Code::store_unusable);
    REQUIRE(store.grant(id, alice));
    REQUIRE(::unlink(store.image_path(id).c_str()) == 0);
    CHECK(store.sweep().value_or(99) == 1);
    CHECK(fixture.entries("grants") == 0);
    // Sweeping where there is nothing to sweep leaves the images' directory as it is.
    struct stat before {};
    struct stat after {};
    REQUIRE(::stat(store.directory("images").c_str(), &before) == 0);
    ::usleep(20000);
    REQUIRE(store.sweep());
    REQUIRE(::stat(store.directory("images").c_str(), &after) == 0);
    CHECK(before.st_mtim.tv_sec == after.st_mtim.tv_sec);
    CHECK(before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
    // Removed while it is granted: the grant says so and is not left behind.
    REQUIRE(put(store, 2, alice));
    auto options = fixture.options;
    options.before_step = [&](std::string_view step) -> base::Result<void> {
        return step == "grant-write" ? store.remove(StoreFixture::id_of(2), true)
                                     : base::Result<void>();
    };
    const auto granting = store::Store::open(options);
    CHECK_FALSE(granting->grant(StoreFixture::id_of(2), alice));
    CHECK(fixture.entries("grants") == 0);
}

TEST_CASE("half-written records of dead processes are removed, others stay") {
    StoreFixture fixture;
    const auto store = fixture.open();
    const auto id = StoreFixture::id_of(1);
    REQUIRE(put(store, 1, alice));
    REQUIRE(store.record_ref({"docker://r/i:1", "sha256:1", "linux/amd64", id, 1}));
    const auto refs = store.directory("refs") + "/" +
                      base::names_in(store.directory("refs"))->front();
    const auto leave = [](const std::string& path, bool old) {
        REQUIRE(base::open_file(path, O_WRONLY | O_CREAT, 0600));
        const timespec times[2] = {{0, UTIME_OMIT}, {1700000000, 0}};
        REQUIRE((!old || ::utimensat(AT_FDCWD, path.c_str(), times, 0) == 0));
    };
    leave(refs + "/000000000001000000000-sha256:1.json.new.4194303.0", true);
    leave(refs + "/000000000002000000000-sha256:1.json.new.4194303.0", false);
    const auto host = store::ProcessId::self().host;
    leave(store.directory("tmp") + "/" + store::unfinished_record(host + ".4194303.0"), false);
    leave(store.directory("tmp") + "/" +
              store::unfinished_record(fmt::format("{}.{}.0", host, ::getpid())),
          false);
    leave(store.directory("tmp") + "/" + store::unfinished_record("elsewhere.4194303.0"), false);
    CHECK(store.fsck(true, false));
    CHECK(base::names_in(refs)->size() == 2);
    CHECK(fixture.entries("tmp") == 2);
}
