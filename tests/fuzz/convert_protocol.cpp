// SPDX-License-Identifier: Apache-2.0
// The first byte chooses which side reads: the parent (whose child may be anybody's), the child, or
// the child its request. Whatever is accepted must be written again as the same bytes.
#include "prefetch/convert/protocol.hpp"

#include <cstdlib>

using namespace slipway::prefetch::convert;

namespace {

template <typename Message> void must_be_same(const Message& message, std::string_view bytes) {
    if (message && encode(*message) != bytes) {
        std::abort();
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
    switch (data[0] % 3) {
    case 0:
        // A code that this build does not know becomes another: the rest is compared by reading.
        if (const auto message = decode_from_child(bytes)) {
            if (!decode_from_child(encode(*message))) {
                std::abort();
            }
        }
        break;
    case 1:
        if (const auto message = decode_from_parent(bytes)) {
            if (!decode_from_parent(encode(*message))) {
                std::abort();
            }
        }
        break;
    default:
        must_be_same(decode_order(bytes), bytes);
        break;
    }
    return 0;
}
