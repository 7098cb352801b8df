// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace slipway::test {

/// Says on stdout that the running test case is skipped and why, and makes the program end with 77
/// (CTest's "skipped") when nothing else failed. With REQUIRE_ALL=1 in the environment the program
/// ends with 1 instead. Return from the test case after calling it.
void skip(const std::string& reason);

/// Folder with real SIF files made by other tools (environment SLIPWAY_SAMPLES), empty when absent.
std::string samples_dir();

} // namespace slipway::test
