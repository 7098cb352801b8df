// SPDX-License-Identifier: Apache-2.0
// Everything that the plugin reads from users as root: option values, the carrier, the staging
// client's answer. The first byte chooses.
#include "spank/options.hpp"
#include "spank/surroundings.hpp"

#include <cstdint>
#include <cstdlib>

using namespace slipway::spank;

namespace {

void check_carrier(std::string_view text) {
    const auto settings = decode_settings(text);
    if (!settings) {
        return;
    }
    // What was accepted must be usable, and must say the same after another way around.
    const bool located =
        settings->image_id.empty()
            ? settings->path.starts_with('/')
            : settings->path.empty() && slipway::launcher::join::is_image_id(settings->image_id);
    if (!settings->wants_container() || !located) {
        std::abort();
    }
    const auto again = decode_settings(encode_settings(*settings));
    if (!again || *again != *settings) {
        std::abort();
    }
}

/// One option per line, its number first: as Slurm calls the plugin, in any order.
void check_options(std::string_view text) {
    Options options;
    while (!text.empty()) {
        const auto line = text.substr(0, text.find('\n'));
        text.remove_prefix(line.size() < text.size() ? line.size() + 1 : text.size());
        if (!line.empty()) {
            options.take(static_cast<OptionId>(static_cast<unsigned char>(line[0]) % option_count),
                         line.substr(1));
        }
    }
    auto settings = options.settings();
    if (!settings || !settings->wants_container()) {
        return;
    }
    settings->path = "/image";
    const auto again = decode_settings(encode_settings(*settings));
    if (!again || *again != *settings) {
        std::abort();
    }
}

void check_answer(std::string_view text) {
    const auto staged = parse_stage_answer(text);
    if (staged && (!slipway::launcher::join::is_image_id(staged->image_id) ||
                   (!staged->store.empty() && !staged->store.starts_with('/')))) {
        std::abort(); // it is an image of a store
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    switch (data[0] % 3) {
    case 0:
        check_carrier(text);
        break;
    case 1:
        check_options(text);
        break;
    default:
        check_answer(text);
        break;
    }
    return 0;
}
