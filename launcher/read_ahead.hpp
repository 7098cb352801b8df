// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace slipway::launcher {

/// Has the kernel read the dynamic loader and the C library of the container, in which the caller
/// is, into its cache: nearly every command begins with them. Page by page, as a starting program
/// asks for them, each of their blocks waits for the one before; asked for as a whole, the threads
/// of the image's server decompress them side by side. Returns at once; what an image does not have
/// is nobody's loss.
void read_ahead_loader() noexcept;

} // namespace slipway::launcher
