// SPDX-License-Identifier: Apache-2.0
#include "launcher/identity.hpp"

#include <catch2/catch.hpp>

using namespace slipway::launcher;

namespace {
const UserFacts ann{1000, 1000, "ann", "Ann", "/home/ann", "/bin/zsh", {{1000, "ann"}, {50, ""}}};
}

TEST_CASE("passwd: the user's line is added or brought up to date") {
    CHECK(passwd_text("", ann, "/h") == "ann:x:1000:1000:Ann:/h:/bin/zsh\n");
    CHECK(passwd_text("root:x:0:0:root:/root:/bin/sh", ann, "/h") ==
          "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000:Ann:/h:/bin/zsh\n");
    CHECK(passwd_text("app:x:1000:1000:App:/app:/bin/sh\n", ann, "/h") ==
          "app:x:1000:1000:App:/h:/bin/sh\n");
    CHECK(passwd_text("broken line\n", ann, "/h") ==
          "broken line\nann:x:1000:1000:Ann:/h:/bin/zsh\n");
    const UserFacts nobody{4711, 99, "", "", "/", "/bin/sh", {{99, ""}}};
    CHECK(passwd_text("", nobody, "/") == "user4711:x:4711:99::/:/bin/sh\n");
}

TEST_CASE("passwd: root's shell is the image's") {
    const UserFacts root{0, 0, "root", "", "/root", "/bin/zsh", {{0, "root"}}};
    CHECK(passwd_text("root:x:0:0:root:/r:/bin/sh\n", root, "/root") ==
          "root:x:0:0:root:/root:/bin/sh\n");
}

TEST_CASE("group: a line for each group that the image lacks") {
    CHECK(group_text("root:x:0:\nstaff:x:50:\n", ann) ==
          "root:x:0:\nstaff:x:50:\nann:x:1000:ann\n");
    CHECK(group_text("", ann) == "ann:x:1000:ann\ngroup50:x:50:ann\n");
}

TEST_CASE("identity: this process has an answer") {
    const auto facts = look_up_user();
    REQUIRE(facts);
    CHECK(facts->home.front() == '/');
    CHECK_FALSE(facts->groups.empty());
    CHECK(facts->groups.front().first == facts->gid);
}
