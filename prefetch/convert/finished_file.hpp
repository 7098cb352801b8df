// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/convert/contract.hpp"

/// Finished images, which are kept as they are. They are as hostile as layers: whoever reads their
/// structure is the program slipway-convert, behind its sandbox; everybody else calls
/// check_isolated().
namespace slipway::prefetch::convert {

/// Reads header, table and root file system (superblock, tables, root directory) of an open file
/// with pread(2) alone. Code::image_format when it is no SIF, or one without a root file system;
/// image_corrupt, image_unsupported (encrypted, OCI-SIF, not SquashFS, unknown compressor);
/// platform_mismatch when it declares to be for another architecture than the wanted one.
base::Result<void> check_finished(int fd, const FinishedCheck& check);

} // namespace slipway::prefetch::convert
