// SPDX-License-Identifier: Apache-2.0
#define CATCH_CONFIG_RUNNER
#include "tests/support/skip.hpp"

#include <catch2/catch.hpp>

#include <cstdio>
#include <cstdlib>
#include <sys/stat.h>

namespace {
int skipped = 0;
}

namespace slipway::test {

void skip(const std::string& reason) {
    ++skipped;
    std::printf("SKIPPED: %s\n", reason.c_str());
    SUCCEED("skipped");
}

std::string sample(const std::string& name) {
    const char* dir = std::getenv("SLIPWAY_SAMPLES");
    const auto path = std::string(dir != nullptr ? dir : "") + "/" + name;
    struct stat st {};
    if (dir != nullptr && ::stat(path.c_str(), &st) == 0) {
        return path;
    }
    skip("there is no " + name + "; tests/samples/make needs siftool and squashfs-tools");
    return {};
}

} // namespace slipway::test

int main(int argc, char** argv) {
    const int failed = Catch::Session().run(argc, argv);
    if (failed != 0) {
        return failed < 77 ? failed : 76;
    }
    // The cases that ran have passed; contrib/test.sh counts the lines of those that did not run.
    const char* require_all = std::getenv("REQUIRE_ALL");
    return skipped > 0 && require_all != nullptr && std::string(require_all) == "1" ? 1 : 0;
}
