// SPDX-License-Identifier: Apache-2.0
#include "memory_layer.hpp"
#include "prefetch/convert/budget.hpp"
#include "prefetch/convert/growing_array.hpp"
#include "prefetch/convert/name_pool.hpp"
#include "prefetch/convert/window_gate.hpp"
#include "tar_build.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <thread>

#include <sys/mman.h>

using namespace slipway;
using namespace slipway::prefetch::convert;
using namespace slipway::test;
using base::Code;

namespace {

base::Result<ConvertReport> run(const std::vector<std::string>& tars, const ConvertOptions& options) {
    ConvertInput input;
    for (const auto& tar : tars) {
        input.layers.push_back(memory_layer(tar + tar_end()));
    }
    input.native = native_parts({}, {});
    const base::UniqueFd file(memfd_create("test", MFD_CLOEXEC));
    ProgressSink quiet;
    return convert(input, options, file.get(), quiet);
}

std::string deep(int number, int depth) {
    std::string path = std::to_string(number);
    for (int i = 1; i < depth; ++i) {
        path += "/d";
    }
    return path;
}

} // namespace

TEST_CASE("a budget counts, and gives back what was only held") {
    Budget budget(100, 5);
    REQUIRE(budget.take(60));
    {
        const auto held = budget.hold(40);
        REQUIRE(held);
        CHECK(budget.used() == 100);
        CHECK_FALSE(budget.hold(1));
        CHECK(budget.used() == 100);
    }
    CHECK(budget.used() == 60);
    const auto more = budget.take(41);
    REQUIRE_FALSE(more);
    CHECK(more.error().code == Code::limit_exceeded);
    CHECK(more.error().hint.find("convert.memory") != std::string::npos);
    CHECK(budget.check_nodes(5));
    CHECK_FALSE(budget.check_nodes(6));
}

TEST_CASE("directories that only parts of a path name count as entries") {
    ConvertOptions options;
    options.limits.entries = 1000;
    std::string fits;
    std::string excess;
    for (int i = 0; i < 30; ++i) {
        (i < 20 ? fits : excess) += tar_file(deep(i, 45), "");
    }
    excess += fits;
    CHECK(run({fits}, options));
    const auto report = run({excess}, options);
    REQUIRE_FALSE(report);
    CHECK(report.error().code == Code::limit_exceeded);
    CHECK(report.error().hint.find("limits.entries") != std::string::npos);
}

TEST_CASE("directories that symlinks lead to count as entries") {
    ConvertOptions options;
    options.limits.entries = 1000;
    std::string tar;
    for (int i = 0; i < 15; ++i) {
        const auto name = std::to_string(i);
        tar += tar_entry("l" + name, '2', {}, name + deep(0, 45).substr(1));
        tar += tar_file("l" + name + deep(1, 40).substr(1) + "/f", "");
    }
    const auto report = run({tar}, options);
    REQUIRE_FALSE(report);
    CHECK(report.error().code == Code::limit_exceeded);
}

TEST_CASE("names and attributes are charged to the memory of the conversion") {
    ConvertOptions options;
    options.memory = 1U << 20U; // leaves 32 MiB for the content of layers
    std::string tar;
    for (int i = 0; i < 3000; ++i) {
        tar += tar_entry("l" + std::to_string(i), '2', {},
                         std::to_string(i) + std::string(90, 't'));
    }
    CHECK(run({tar}, options));
    Budget little(10'000, 10);
    NamePool names(little);
    CHECK(names.add(std::string(9000, 'x')));
    CHECK(names.add(std::string(9000, 'x'))); // known
    CHECK_FALSE(names.add(std::string(9000, 'y')));
}

TEST_CASE("an array grows to any size and keeps what is inside") {
    GrowingArray<std::uint32_t> numbers;
    for (std::uint32_t i = 0; i < 100'000; ++i) {
        numbers.push_back(i);
    }
    numbers.append(5, 7U);
    numbers.push_back(numbers[3]);
    REQUIRE(numbers.size() == 100'006);
    numbers.shrink();
    CHECK(numbers[99'999] == 99'999);
    CHECK(numbers[100'004] == 7);
    CHECK(numbers[100'005] == 3);
    numbers.truncate(2);
    CHECK(numbers.end() - numbers.begin() == 2);
}

TEST_CASE("two large windows at a time, and never none for the layer that is read") {
    WindowGate gate;
    CHECK(gate.enter(1)); // ahead
    CHECK(gate.enter(0)); // its turn
    std::atomic<bool> inside{false};
    std::thread third([&] { inside = gate.enter(2); });
    gate.leave(0);
    gate.turn_of(1);
    CHECK(gate.enter(1));
    CHECK_FALSE(inside);
    gate.leave(1);
    third.join();
    CHECK(inside);
    std::thread fourth([&] { inside = gate.enter(3); });
    gate.cancel();
    fourth.join();
    CHECK_FALSE(inside);
}
