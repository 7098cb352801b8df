// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace slipway::test {

/// Says on stdout that the running test case is skipped and why ("SKIPPED: …", which contrib/test.sh
/// counts; the other cases of the program count by themselves). With REQUIRE_ALL=1 in the environment
/// the program fails. Return from the test case after calling it.
void skip(const std::string& reason);

/// Folder with real SIF files made by other tools (environment SLIPWAY_SAMPLES), empty when absent.
std::string samples_dir();

} // namespace slipway::test
