// SPDX-License-Identifier: Apache-2.0
// A loader's cache, of the host or of an image. Whatever is understood must be usable names in the bytes.
#include "launcher/devices/ld_so_cache.hpp"

#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

bool lies_in(std::string_view text, std::string_view bytes) {
    return text.data() >= bytes.data() && text.data() + text.size() < bytes.data() + bytes.size();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const auto parsed = slipway::launcher::devices::parse_loader_cache(bytes);
    if (!parsed) {
        return 0;
    }
    for (const auto& library : *parsed) {
        if (!lies_in(library.name, bytes) || !lies_in(library.path, bytes) || library.name.empty() ||
            library.name.find('/') != std::string_view::npos || !library.path.starts_with('/')) {
            std::abort();
        }
    }
    return 0;
}
