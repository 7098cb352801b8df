// SPDX-License-Identifier: Apache-2.0
#include "prefetch/service/job_table.hpp"

#include <catch2/catch.hpp>

using namespace slipway;
using namespace slipway::prefetch::stage;
using namespace slipway::prefetch::service;
using namespace std::chrono_literals;

namespace {

struct Recorder : Listener {
    std::vector<std::string> lines;
    bool ended = false;
    void event(const Report& report) override {
        lines.push_back(report.line());
        ended = ended || report.last();
    }
};

struct Bench {
    std::vector<std::string> started; // references, in the order in which work began
    TableLimits limits{.workers = 2, .reserve = 0};
    Clock::time_point now = Clock::time_point() + 1h;

    JobTable make() {
        return JobTable(limits, [this](std::shared_ptr<Job> job) {
            started.push_back(job->request.reference);
        });
    }
    static StageRequest want(const std::string& reference, uid_t uid = 1000) {
        StageRequest request;
        request.reference = reference;
        request.uid = uid;
        return request;
    }
    /// The id of the work on an image; ids are random.
    static std::string id_of(const JobTable& table, const std::string& reference) {
        for (const auto& job : table.all()) {
            if (job->request.reference == reference) {
                return job->id;
            }
        }
        return {};
    }
    static base::Result<StagedImage> image() {
        StagedImage staged;
        staged.path = "/store/x.sif";
        staged.id = "x";
        return staged;
    }
};

} // namespace

TEST_CASE("requests for one image share one piece of work") {
    Bench bench;
    auto table = bench.make();
    Recorder first, second;
    auto one = table.submit(Bench::want("a"), false, bench.now);
    auto two = table.submit(Bench::want("a", 1001), false, bench.now);
    REQUIRE(one);
    REQUIRE(two);
    CHECK(one->get() == two->get());
    CHECK(bench.started.size() == 1);
    table.listen(**one, first);
    table.listen(**two, second);
    table.progressed((*one)->id, {Phase::downloading, 5, 10, {}}, bench.now);
    table.finished((*one)->id, Bench::image(), bench.now);
    CHECK(first.lines.size() == 3);
    CHECK(first.ended);
    CHECK(second.lines == first.lines);
    CHECK(first.lines[1] == R"({"event":"downloading","bytes":5,"total":10})");
    CHECK(first.lines[2].starts_with(R"({"event":"ready","path":"/store/x.sif")"));
}

TEST_CASE("other platforms and a fresh look are other work") {
    Bench bench;
    auto table = bench.make();
    auto plain = Bench::want("a");
    auto arm = plain;
    arm.platform = "linux/arm64";
    auto fresh = plain;
    fresh.pull = PullPolicy::always;
    const auto first = *table.submit(plain, false, bench.now);
    CHECK(*table.submit(arm, false, bench.now) != first);
    CHECK(*table.submit(fresh, false, bench.now) != first);
    CHECK(*table.submit(plain, false, bench.now) == first);
}

TEST_CASE("a late listener hears how it stands, then the rest") {
    Bench bench;
    auto table = bench.make();
    auto job = table.submit(Bench::want("a"), false, bench.now);
    table.progressed((*job)->id, {Phase::converting, 1, 2, {}}, bench.now);
    Recorder late;
    table.listen(**job, late);
    CHECK(late.lines == std::vector<std::string>{R"({"event":"converting","bytes":1,"total":2})"});
    table.finished((*job)->id, base::fail(base::Code::source_not_found, "no such tag", "look"),
                   bench.now);
    CHECK(late.ended);
    CHECK(late.lines.back() ==
          R"({"event":"failed","code":"source-not-found","message":"no such tag","hint":"look"})");
    Recorder later;
    table.listen(**job, later);
    CHECK(later.ended);
}

TEST_CASE("users are served in turn, and nobody gets more than their share") {
    Bench bench;
    bench.limits.workers = 3;
    bench.limits.per_user = 2;
    auto table = bench.make();
    for (const auto* name : {"a1", "a2", "a3", "a4"}) {
        REQUIRE(table.submit(Bench::want(name, 1), false, bench.now));
    }
    for (const auto* name : {"b1", "b2"}) {
        REQUIRE(table.submit(Bench::want(name, 2), false, bench.now));
    }
    REQUIRE(table.submit(Bench::want("c1", 3), false, bench.now));
    CHECK(bench.started == std::vector<std::string>{"a1", "a2", "b1"});
    table.finished(Bench::id_of(table, "b1"), Bench::image(), bench.now);
    table.finished(Bench::id_of(table, "a1"), Bench::image(), bench.now);
    table.finished(Bench::id_of(table, "a2"), Bench::image(), bench.now);
    table.finished(Bench::id_of(table, "a3"), Bench::image(), bench.now);
    CHECK(bench.started.size() == 7);
    // c had waited less than a's and b's next ones, but is served before a's fourth.
    const auto at = [&](const char* name) {
        return std::find(bench.started.begin(), bench.started.end(), name) - bench.started.begin();
    };
    CHECK(at("c1") < at("a4"));
    CHECK(at("b2") < at("a4"));
}

TEST_CASE("one user's queue is bounded") {
    Bench bench;
    bench.limits.workers = 1;
    bench.limits.queued_per_user = 2;
    auto table = bench.make();
    REQUIRE(table.submit(Bench::want("1"), false, bench.now));
    REQUIRE(table.submit(Bench::want("2"), false, bench.now));
    REQUIRE(table.submit(Bench::want("3"), false, bench.now));
    const auto refused = table.submit(Bench::want("4"), false, bench.now);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == base::Code::service_busy);
    CHECK(table.submit(Bench::want("4", 2000), false, bench.now));
}

TEST_CASE("a ready answer is kept for a while, a digest for longer, a failure shortly") {
    Bench bench;
    auto table = bench.make();
    const auto pinned = Bench::want("r@sha256:00");
    for (const auto& request : {Bench::want("tag"), pinned}) {
        auto job = table.submit(request, false, bench.now);
        table.finished((*job)->id, Bench::image(), bench.now);
    }
    CHECK((*table.submit(Bench::want("tag"), false, bench.now + 59s))->state == JobState::ready);
    CHECK((*table.submit(pinned, false, bench.now + 600s))->state == JobState::ready);
    CHECK((*table.submit(Bench::want("tag"), false, bench.now + 61s))->state == JobState::running);

    auto bad = table.submit(Bench::want("bad"), false, bench.now);
    table.finished((*bad)->id, base::fail(base::Code::source_unreachable, "down"), bench.now);
    CHECK((*table.submit(Bench::want("bad"), false, bench.now + 4s))->state == JobState::failed);
    CHECK((*table.submit(Bench::want("bad"), false, bench.now + 6s))->state == JobState::running);
}

TEST_CASE("a remembered failure is for those who saw it") {
    Bench bench;
    auto table = bench.make();
    const auto seen = table.submit(Bench::want("private", 1), false, bench.now);
    table.finished((*seen)->id, base::fail(base::Code::source_not_found, "no"), bench.now);
    const auto other = table.submit(Bench::want("private", 2), false, bench.now + 1s);
    CHECK((*other)->state == JobState::running); // as if nobody had asked before
    CHECK((*other)->id != (*seen)->id);
    CHECK(table.find((*seen)->id)); // and the first user can still read why theirs failed
    table.finished((*other)->id, base::fail(base::Code::source_not_found, "no"), bench.now + 1s);
    CHECK((*table.submit(Bench::want("private", 2), false, bench.now + 2s))->id == (*other)->id);
}

TEST_CASE("work that nobody waits for is cancelled, detached work is not") {
    Bench bench;
    bench.limits.workers = 2;
    auto table = bench.make();
    auto wanted = *table.submit(Bench::want("wanted"), false, bench.now);
    auto left = *table.submit(Bench::want("left"), false, bench.now);
    auto queued = *table.submit(Bench::want("queued"), false, bench.now);
    auto batch = *table.submit(Bench::want("batch"), true, bench.now);
    Recorder ear;
    table.listen(*wanted, ear);
    table.tick(bench.now + 29s);
    CHECK_FALSE(left->cancel.stop_requested());
    table.tick(bench.now + 31s);
    CHECK(left->cancel.stop_requested());
    CHECK_FALSE(wanted->cancel.stop_requested());
    CHECK_FALSE(table.find(queued->id));
    CHECK(table.find(batch->id));
    // The cancelled one ends; then the same image can be asked for again.
    CHECK_FALSE(table.submit(Bench::want("left"), false, bench.now + 31s));
    table.finished(left->id, base::fail(base::Code::interrupted, "cancelled"), bench.now + 32s);
    CHECK((*table.submit(Bench::want("left"), false, bench.now + 40s))->state == JobState::queued);
    table.unlisten(*wanted, ear, bench.now + 40s);
    table.tick(bench.now + 71s);
    CHECK(wanted->cancel.stop_requested());
}

TEST_CASE("progress is reported at a bearable rate, a new phase at once") {
    Bench bench;
    auto table = bench.make();
    auto job = *table.submit(Bench::want("a"), false, bench.now);
    Recorder ear;
    table.listen(*job, ear);
    for (std::uint64_t i = 0; i < 1000; ++i) {
        table.progressed(job->id, {Phase::downloading, i, 1000, {}}, bench.now + i * 1ms);
    }
    CHECK(ear.lines.size() <= 7);
    table.progressed(job->id, {Phase::publishing, 0, 0, {}}, bench.now + 1000ms);
    CHECK(ear.lines.back() == R"({"event":"publishing"})");
}

TEST_CASE("slow work of one user keeps nobody else waiting") {
    Bench bench;
    bench.limits.reserve = 1;
    auto table = bench.make();
    for (const auto* name : {"slow1", "slow2", "slow3"}) {
        REQUIRE(table.submit(Bench::want(name, 1), false, bench.now));
    }
    CHECK(bench.started == std::vector<std::string>{"slow1", "slow2"});
    REQUIRE(table.submit(Bench::want("quick", 2), false, bench.now));
    REQUIRE(table.submit(Bench::want("another", 2), false, bench.now));
    CHECK(bench.started == std::vector<std::string>{"slow1", "slow2", "quick"});
    table.finished(Bench::id_of(table, "quick"), Bench::image(), bench.now);
    CHECK(bench.started.back() == "another");
}

TEST_CASE("an image is not delayed by those who ask for it behind much else") {
    Bench bench;
    bench.limits = {.workers = 1, .reserve = 1, .per_user = 1};
    auto table = bench.make();
    for (const auto* name : {"slow1", "slow2", "wanted"}) {
        REQUIRE(table.submit(Bench::want(name, 1), false, bench.now));
    }
    CHECK(table.queued() == 2);
    const auto joined = table.submit(Bench::want("wanted", 2), false, bench.now);
    CHECK(bench.started == std::vector<std::string>{"slow1", "wanted"});
    CHECK((*joined)->charged == 2);
    CHECK(table.queued() == 1);
    table.finished((*joined)->id, Bench::image(), bench.now);
    table.finished(Bench::id_of(table, "slow1"), Bench::image(), bench.now);
    CHECK(bench.started == std::vector<std::string>{"slow1", "wanted", "slow2"});
    table.finished(Bench::id_of(table, "slow2"), Bench::image(), bench.now);
    CHECK(table.running() == 0);
    CHECK(table.queued() == 0);
    CHECK(bench.started.size() == 3); // "wanted" does not run again for its first asker
}

TEST_CASE("what is remembered of one user's ended work is bounded") {
    Bench bench;
    bench.limits.ended_per_user = 3;
    auto table = bench.make();
    const auto other = table.submit(Bench::want("other", 2), false, bench.now);
    table.finished((*other)->id, Bench::image(), bench.now);
    for (const auto* name : {"1", "2", "3", "4", "5"}) {
        const auto job = table.submit(Bench::want(name, 1), false, bench.now);
        table.finished((*job)->id, base::fail(base::Code::source_not_found, "no"), bench.now);
    }
    CHECK(table.all().size() == 4);
    CHECK(table.find((*other)->id));
    CHECK_FALSE(table.find(Bench::id_of(table, "2")));
    CHECK(table.find(Bench::id_of(table, "3")));
}

TEST_CASE("listeners hear from time to time that their work still waits") {
    Bench bench;
    bench.limits.workers = 1;
    auto table = bench.make();
    REQUIRE(table.submit(Bench::want("slow"), true, bench.now));
    const auto job = table.submit(Bench::want("waits"), false, bench.now);
    Recorder ear;
    table.listen(**job, ear);
    table.tick(bench.now + 31s);
    table.tick(bench.now + 32s);
    table.tick(bench.now + 62s);
    CHECK(ear.lines == std::vector<std::string>(3, ear.lines.front()));
    CHECK_FALSE(ear.ended);
}

TEST_CASE("what was removed is forgotten and is new work for the next who asks") {
    Bench bench;
    auto table = bench.make();
    const auto first = *table.submit(Bench::want("a@sha256:1"), false, bench.now);
    table.finished(first->id, Bench::image(), bench.now);
    CHECK(*table.submit(Bench::want("a@sha256:1"), false, bench.now) == first);
    table.forget(*first);
    CHECK_FALSE(table.find(first->id));
    const auto second = *table.submit(Bench::want("a@sha256:1"), false, bench.now);
    CHECK(second != first);
    CHECK(second->id != first->id);
    table.forget(*first); // once more: the new work is not touched
    CHECK(table.find(second->id) == second);
    CHECK(*table.submit(Bench::want("a@sha256:1"), false, bench.now) == second);
}

TEST_CASE("ids of work say nothing about what was asked for") {
    Bench bench;
    auto table = bench.make();
    auto other = bench.make();
    const auto one = *table.submit(Bench::want("a"), false, bench.now);
    const auto two = *other.submit(Bench::want("a"), false, bench.now);
    CHECK(one->id.size() == 32);
    CHECK(one->id != two->id);
}
