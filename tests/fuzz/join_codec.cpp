// SPDX-License-Identifier: Apache-2.0
// What travels between tasks, launcher and plugin. Whatever is accepted must come out of the
// encoder as it went in: two readings of one message would be two decisions.
#include "launcher/join/protocol.hpp"
#include "launcher/join/request.hpp"

#include <cstdint>
#include <cstdlib>

using namespace slipway::launcher::join;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
    bool same = true;
    switch (data[0] % 4) {
    case 0:
        if (const auto request = decode_request(bytes)) {
            same = encode(*request) == bytes;
        }
        break;
    case 1:
        if (const auto record = decode_join_record(bytes)) {
            same = encode(*record) == bytes;
        }
        break;
    case 2:
        if (const auto ready = decode_ready(bytes)) {
            same = encode(*ready) == bytes;
        }
        break;
    default:
        same = !decode_error(bytes).message.empty();
        break;
    }
    if (!same) {
        std::abort();
    }
    return 0;
}
