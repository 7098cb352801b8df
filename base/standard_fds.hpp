// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace slipway::base {

/// Opens /dev/null where descriptors 0, 1 or 2 are closed (`program <&-`), so that no file of ours
/// gets one of these numbers and is then taken for the user's input or output. The first statement
/// of every main(); children inherit what it opened.
void open_standard_descriptors() noexcept;

} // namespace slipway::base
