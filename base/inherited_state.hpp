// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace slipway::base {

/// Puts right what some callers leave to their children. The first statement of every main();
/// our own children inherit it.
/// - /dev/null where descriptors 0, 1 or 2 are closed (`program <&-`), so that no file of ours gets
///   one of these numbers and is then taken for the user's input or output;
/// - SIGCHLD as usual where it is ignored: the exit codes of children would be lost.
void repair_inherited_state() noexcept;

} // namespace slipway::base
