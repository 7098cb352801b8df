// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "squashfs/codec/encoder.hpp"

namespace slipway::squashfs::codec {

// One file for each library; encoder.cpp has the table. Null when memory is short.
std::unique_ptr<Encoder> make_gzip_encoder(int level);
std::unique_ptr<Encoder> make_zstd_encoder(int level);

} // namespace slipway::squashfs::codec
