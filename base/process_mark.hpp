// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

// Names of what a process leaves behind when it is killed, so that a later one can remove it.
namespace slipway::base {

/// "<host and pid namespace, 16 hex>.<pid>.<start time>" of this process: part of a file's name.
std::string process_mark();

/// Whether `text` is the mark of a process of this host and pid namespace that has ended. False for any
/// other text, and for processes elsewhere, about which nothing is known here.
bool is_mark_of_ended(std::string_view text);

} // namespace slipway::base
