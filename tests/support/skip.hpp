// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace slipway::test {

/// Says on stdout that the running test case is skipped and why ("SKIPPED: …", which contrib/test.sh
/// counts; the other cases of the program count by themselves). With REQUIRE_ALL=1 in the environment
/// the program fails. Return from the test case after calling it.
void skip(const std::string& reason);

/// Path of one of the image files that other people's tools made (tests/samples/make; environment
/// SLIPWAY_SAMPLES names the folder). "" after skip() where it could not be made.
std::string sample(const std::string& name);

} // namespace slipway::test
