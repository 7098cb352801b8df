// SPDX-License-Identifier: Apache-2.0
// A superblock that is accepted must be safe to use: positions inside, block size a power of two.
#include "squashfs/superblock.hpp"

#include <cstdint>
#include <cstdlib>

using namespace slipway;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::uint64_t available = size < 96 ? size : 1U << 20U;
    const auto info = squashfs::parse_superblock({data, size}, available);
    if (info && (info->bytes_used > available || info->block_size < 4096 ||
                 info->block_size > 1048576 || (info->block_size & (info->block_size - 1)) != 0)) {
        std::abort();
    }
    return 0;
}
