// SPDX-License-Identifier: Apache-2.0
#include "store_fixture.hpp"

#include "base/child.hpp"
#include "base/fd.hpp"
#include "store/lease.hpp"
#include "store/process_id.hpp"

#include <catch2/catch.hpp>
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <unistd.h>

using namespace slipway;
using slipway::test::StoreFixture;

namespace {

bool is_lease(const base::Result<store::Claim>& claim) {
    return claim && std::holds_alternative<store::Lease>(*claim);
}
bool is_wait(const base::Result<store::Claim>& claim) {
    return claim && std::holds_alternative<store::Wait>(*claim);
}
bool is_image(const base::Result<store::Claim>& claim) {
    return claim && std::holds_alternative<store::StoredImage>(*claim);
}

} // namespace

TEST_CASE("one works, the other waits and is served") {
    StoreFixture fixture;
    const auto store = fixture.open();
    store::Acquisition first(store, StoreFixture::id_of(1));
    store::Acquisition second(store, StoreFixture::id_of(1));
    {
        auto claim = first.poll();
        REQUIRE(is_lease(claim));
        CHECK(is_wait(second.poll()));
        REQUIRE(StoreFixture::put(store, 1, "done"));
        CHECK(is_image(second.poll()));
    }
    CHECK(fixture.entries("leases") == 0);
}

TEST_CASE("a lease that is given back unused is taken by the next") {
    StoreFixture fixture;
    const auto store = fixture.open();
    store::Acquisition first(store, StoreFixture::id_of(1));
    store::Acquisition second(store, StoreFixture::id_of(1));
    { REQUIRE(is_lease(first.poll())); }
    CHECK(is_lease(second.poll()));
}

TEST_CASE("a killed holder on this host is noticed at once") {
    StoreFixture fixture;
    const auto store = fixture.open();
    auto pipe = base::packet_pair();
    REQUIRE(pipe);
    auto child = base::Child::fork([&] {
        store::Acquisition mine(store, StoreFixture::id_of(1));
        auto claim = mine.poll();
        (void)base::send_packet(pipe->first.get(), is_lease(claim) ? "yes" : "no");
        ::pause();
        return 0;
    });
    REQUIRE(child);
    REQUIRE(base::recv_packet(pipe->second.get(), 10, 5000)->body == "yes");
    store::Acquisition mine(store, StoreFixture::id_of(1));
    CHECK(is_wait(mine.poll()));
    child->signal(SIGKILL);
    REQUIRE(child->wait());
    CHECK(is_lease(mine.poll()));
}

TEST_CASE("leases of dead holders are swept, others stay") {
    StoreFixture fixture;
    const auto store = fixture.open();
    const auto leave = [&](int number, const std::string& text) {
        const auto file = base::open_file(store.directory("leases") + "/" + StoreFixture::id_of(number),
                                          O_WRONLY | O_CREAT, 0644);
        REQUIRE(file);
        REQUIRE(base::write_all(file->get(), text));
    };
    auto dead = store::ProcessId::self();
    dead.start += 1;
    leave(1, dead.text() + " 7\n");
    leave(2, store::ProcessId::self().text() + " 7\n");
    leave(3, "elsewhere boot 1 1 0\n");
    CHECK(*store.sweep() == 1U);
    CHECK(fixture.entries("leases") == 2);
}

TEST_CASE("a silent holder on another host is stale on our clock, one that writes is not") {
    StoreFixture fixture;
    fixture.options.lease_stale_ms = 300;
    const auto store = fixture.open();
    const auto path = store.directory("leases") + "/" + StoreFixture::id_of(1);
    const auto write = [&](const std::string& text) {
        const auto file = base::open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        REQUIRE(file);
        REQUIRE(base::write_all(file->get(), text));
    };
    write("elsewhere boot 1 1 0\n");
    store::Acquisition mine(store, StoreFixture::id_of(1));
    for (int count = 1; count <= 4; ++count) {
        CHECK(is_wait(mine.poll()));
        ::usleep(150000);
        write("elsewhere boot 1 1 " + std::to_string(count) + "\n");
    }
    CHECK(is_wait(mine.poll()));
    ::usleep(400000);
    CHECK(is_lease(mine.poll()));
}

namespace {

/// Somebody who holds the lease of the first image.
struct Holder {
    explicit Holder(StoreFixture& fixture)
        : store(fixture.open()),
          path(store.directory("leases") + "/" + StoreFixture::id_of(1)),
          mine(store, StoreFixture::id_of(1)),
          claim(mine.poll()) {
        REQUIRE(is_lease(claim));
    }

    const store::Store store;
    const std::string path;
    store::Acquisition mine;
    base::Result<store::Claim> claim;
};

} // namespace

TEST_CASE("a holder rewrites its lease, and stops when it was taken over") {
    StoreFixture fixture;
    fixture.options.heartbeat_ms = 20;
    Holder holder(fixture);
    const auto& path = holder.path;
    const auto before = base::read_file(path, 1000);
    ::usleep(200000);
    const auto after = base::read_file(path, 1000);
    CHECK(*before != *after);
    CHECK(store::liveness(store::ProcessId::parse(*after)) == store::Liveness::alive);
    // And a heartbeat that has just read the file may still write over the one who takes it.
    const std::string other = "elsewhere boot 1 1 7\n";
    for (int tries = 0; tries < 20 && *base::read_file(path, 1000) != other; ++tries) {
        const auto file = base::open_file(path, O_WRONLY | O_TRUNC);
        REQUIRE(file);
        REQUIRE(base::write_all(file->get(), other));
        ::usleep(100000);
    }
    CHECK(*base::read_file(path, 1000) == other);
    holder.claim = base::fail(base::Code::internal, "drop the lease");
    CHECK(base::read_file(path, 1000)); // not ours any more: left alone
}

namespace {

/// Puts a symbolic link in the place of a lease for a while: what its holder does there fails with
/// ELOOP, as it fails with other errors when a file server is away. A link to itself cannot be read; a
/// link to the lease can, but not written, because writing follows no links.
class Outage {
  public:
    Outage(std::string lease, bool readable) : lease_(std::move(lease)) {
        REQUIRE(::link(lease_.c_str(), aside_.c_str()) == 0);
        const auto& target = readable ? aside_ : lease_;
        REQUIRE(::symlink(target.c_str(), link_.c_str()) == 0);
        REQUIRE(::rename(link_.c_str(), lease_.c_str()) == 0);
    }
    void end() const { REQUIRE(::rename(aside_.c_str(), lease_.c_str()) == 0); }

  private:
    std::string lease_;
    std::string aside_ = lease_ + ".aside";
    std::string link_ = lease_ + ".link";
};

bool changes(const std::string& path, const std::string& before, int milliseconds) {
    for (int waited = 0; waited < milliseconds; waited += 10) {
        const auto now = base::read_file(path, 1000);
        if (now && *now != before) {
            return true;
        }
        ::usleep(10000);
    }
    return false;
}

} // namespace

TEST_CASE("a holder that cannot reach its lease for a while goes on when it can") {
    StoreFixture fixture;
    fixture.options.heartbeat_ms = 10;
    Holder holder(fixture);
    const auto& path = holder.path;
    const Outage outage(path, GENERATE(true, false));
    ::usleep(100000); // many heartbeats
    outage.end();
    CHECK(changes(path, *base::read_file(path, 1000), 10000));
    holder.claim = base::fail(base::Code::internal, "drop the lease");
    CHECK(fixture.entries("leases") == 0);
}

TEST_CASE("a holder that was away for longer than its lease lasts gives up") {
    StoreFixture fixture;
    fixture.options.heartbeat_ms = 10;
    fixture.options.lease_stale_ms = 100;
    Holder holder(fixture);
    const auto& path = holder.path;
    const Outage outage(path, false);
    ::usleep(300000);
    outage.end();
    CHECK_FALSE(changes(path, *base::read_file(path, 1000), 200));
    // Nobody took it: it is still removed with its holder.
    holder.claim = base::fail(base::Code::internal, "drop the lease");
    CHECK(fixture.entries("leases") == 0);
}

TEST_CASE("of many that start together one works") {
    StoreFixture fixture;
    const auto store = fixture.open();
    std::vector<base::Child> children;
    for (int i = 0; i < 8; ++i) {
        auto child = base::Child::fork([&] {
            store::Acquisition mine(store, StoreFixture::id_of(1));
            auto claim = mine.wait({}, {}, 5);
            if (!claim) {
                return 3;
            }
            if (std::holds_alternative<store::StoredImage>(*claim)) {
                return 0;
            }
            ::usleep(50000);
            return StoreFixture::put(store, 1, "once") ? 1 : 3;
        });
        REQUIRE(child);
        children.push_back(std::move(*child));
    }
    int workers = 0;
    for (auto& child : children) {
        const auto status = child.wait();
        REQUIRE(status);
        REQUIRE(base::exit_code_of(*status) != 3);
        workers += base::exit_code_of(*status);
    }
    CHECK(workers == 1);
}

TEST_CASE("waiting can be cancelled") {
    StoreFixture fixture;
    const auto store = fixture.open();
    store::Acquisition holder(store, StoreFixture::id_of(1));
    auto claim = holder.poll();
    REQUIRE(is_lease(claim));
    store::Acquisition mine(store, StoreFixture::id_of(1));
    std::stop_source cancel;
    int calls = 0;
    const auto result = mine.wait(
        [&](const store::Wait& wait) {
            CHECK_THAT(wait.holder, Catch::StartsWith("process ") && Catch::EndsWith(", which fetches the same image"));
            if (++calls == 3) {
                cancel.request_stop();
            }
        },
        cancel.get_token(), 5);
    REQUIRE_FALSE(result);
    CHECK(result.error().code == base::Code::interrupted);
}

TEST_CASE("processes are identified by boot and start time") {
    const auto self = store::ProcessId::self();
    CHECK(store::liveness(self) == store::Liveness::alive);
    auto older = self;
    older.start += 1;
    CHECK(store::liveness(older) == store::Liveness::dead);
    auto rebooted = self;
    rebooted.boot = "another";
    CHECK(store::liveness(rebooted) == store::Liveness::dead);
    auto elsewhere = self;
    elsewhere.host = "elsewhere";
    CHECK(store::liveness(elsewhere) == store::Liveness::unknown);
    CHECK(store::ProcessId::parse("garbage").host.empty());
    CHECK(store::ProcessId::parse(self.text()).start == self.start);
}
