// SPDX-License-Identifier: Apache-2.0
// A full and a read-only file system, made as tmpfs in mount namespaces of child processes.
#include "base/child.hpp"
#include "base/fd.hpp"
#include "base/format.hpp"
#include "store/lease.hpp"
#include "store_fixture.hpp"
#include "tests/support/skip.hpp"

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>

using namespace slipway;
using base::Code;
using test::StoreFixture;

namespace {

constexpr int cannot_mount = 99;

/// A mount namespace of our own, as root or (where the kernel lets users) in a user namespace that
/// maps only ourselves.
bool own_mounts() {
    const auto uid = ::getuid();
    const auto gid = ::getgid();
    if (::unshare(uid == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) != 0) {
        return false;
    }
    const auto put = [](const char* path, const std::string& text) {
        auto file = base::open_file(path, O_WRONLY);
        return file && base::write_all(file->get(), text);
    };
    if (uid != 0 && (!put("/proc/self/setgroups", "deny") ||
                     !put("/proc/self/uid_map", fmt::format("{0} {0} 1", uid)) ||
                     !put("/proc/self/gid_map", fmt::format("{0} {0} 1", gid)))) {
        return false;
    }
    return ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

/// Runs `body` in a child with a tmpfs of `size` at the fixture's store. The body's value is the
/// number of the check that failed, 0 for none.
void on_tmpfs(const StoreFixture& fixture, const char* size, const std::function<int()>& body) {
    REQUIRE(::mkdir(fixture.options.path.c_str(), 0700) == 0);
    auto child = base::Child::fork([&]() -> int {
        const auto options = fmt::format("size={},mode=700", size);
        if (!own_mounts() ||
            ::mount("tmpfs", fixture.options.path.c_str(), "tmpfs", 0, options.c_str()) != 0) {
            return cannot_mount;
        }
        return body();
    });
    REQUIRE(child);
    const auto status = child->wait();
    REQUIRE(status);
    const int code = base::exit_code_of(*status);
    if (code == cannot_mount) {
        test::skip("this user may not mount a tmpfs");
        return;
    }
    CHECK(code == 0); // else: the number of the check in the body
}

/// Fills the file system down to the last block.
void fill(const std::string& path) {
    auto file = base::open_file(path, O_WRONLY | O_CREAT, 0600);
    for (const std::size_t piece : {std::size_t{4096}, std::size_t{1}}) {
        while (file && base::write_all(file->get(), std::string(piece, 'f'))) {
        }
    }
}

bool has_code(const base::Result<store::StoredImage>& result, Code code) {
    return !result && result.error().code == code;
}

} // namespace

TEST_CASE("a full file system fails the work, not the store") {
    StoreFixture fixture;
    on_tmpfs(fixture, "1m", [&] {
        const auto store = store::Store::open(fixture.options);
        if (!store || !StoreFixture::put(*store, 1, "small")) {
            return 1;
        }
        if (!has_code(StoreFixture::put(*store, 2, std::string(2U << 20U, 'x')),
                      Code::out_of_space)) {
            return 2;
        }
        if (store->find(StoreFixture::id_of(2)) || fixture.entries("tmp") != 0) {
            return 3; // half an image, or leftovers that keep the space
        }
        const auto room = store->make_room(2U << 20U, 1000);
        // The only image is neither granted nor pinned, so it went; still not enough.
        if (room || room.error().code != Code::out_of_space) {
            return 4;
        }
        return StoreFixture::put(*store, 3, "after") ? 0 : 5;
    });
}

TEST_CASE("whatever write meets the full disk, nothing half is seen and room helps") {
    StoreFixture fixture;
    on_tmpfs(fixture, "1m", [&] {
        auto options = fixture.options;
        std::string full_at;
        const auto filler = options.path + "/filler";
        options.before_step = [&](std::string_view step) -> base::Result<void> {
            if (step == full_at) {
                fill(filler);
            }
            return {};
        };
        const auto store = store::Store::open(options);
        if (!store) {
            return 1;
        }
        int number = 10;
        int refused = 0;
        for (const auto* step : {"work-dir", "work-owner", "image-mode", "image-sync",
                                 "provenance-write", "provenance-link", "commit", "commit-sync"}) {
            full_at = step;
            const auto id = StoreFixture::id_of(number);
            const auto got = StoreFixture::put(*store, number, std::string(5000, 'x'));
            const auto seen = store->find(id);
            if (got.has_value() != seen.has_value() || (seen && seen->size != 5000) ||
                (seen && !store->provenance(id)) ||
                (!got && got.error().code != Code::out_of_space)) {
                return number;
            }
            refused += got ? 0 : 1;
            full_at.clear();
            ::unlink(filler.c_str());
            if (!StoreFixture::put(*store, number, std::string(5000, 'x')) ||
                fixture.entries("tmp") != 0) {
                return number + 50;
            }
            ++number;
        }
        return refused >= 3 ? 0 : 2; // writes that really met the full disk
    });
}

TEST_CASE("a lease that did not fit on the disk is not left behind empty") {
    StoreFixture fixture;
    on_tmpfs(fixture, "1m", [&] {
        const auto store = store::Store::open(fixture.options);
        if (!store) {
            return 1;
        }
        const auto filler = fixture.options.path + "/filler";
        fill(filler);
        store::Acquisition mine(*store, StoreFixture::id_of(1));
        const auto claim = mine.poll();
        if (claim || claim.error().code != Code::out_of_space || fixture.entries("leases") != 0) {
            return 2;
        }
        ::unlink(filler.c_str());
        const auto again = mine.poll();
        return again && std::holds_alternative<store::Lease>(*again) ? 0 : 3;
    });
}

TEST_CASE("a read-only store serves what it has and refuses work") {
    StoreFixture fixture;
    on_tmpfs(fixture, "1m", [&] {
        {
            const auto store = store::Store::open(fixture.options);
            if (!store || !StoreFixture::put(*store, 1, "one")) {
                return 1;
            }
        }
        if (::mount(nullptr, fixture.options.path.c_str(), nullptr,
                    MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) != 0) {
            return 2;
        }
        auto options = fixture.options;
        options.access = store::Access::read_only;
        const auto reader = store::Store::open(options);
        if (!reader || !reader->find(StoreFixture::id_of(1)) ||
            !reader->provenance(StoreFixture::id_of(1)) || reader->list()->size() != 1) {
            return 3;
        }
        const auto writer = store::Store::open(fixture.options);
        if (!writer) {
            return writer.error().code == Code::store_unusable ? 0 : 4;
        }
        const auto put = StoreFixture::put(*writer, 2, "two");
        return has_code(put, Code::store_unusable) && !put.error().hint.empty() ? 0 : 5;
    });
}
