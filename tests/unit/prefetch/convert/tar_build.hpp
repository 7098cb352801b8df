// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/convert/tar_reader.hpp"

#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

namespace slipway::test {

/// One header block; `data` is only counted.
inline std::string tar_header(std::string_view name, char type, std::size_t size,
                              std::string_view link = {}, std::size_t mode = 0644) {
    std::string raw(512, '\0');
    const auto put = [&](std::size_t at, std::string_view text) { raw.replace(at, text.size(), text); };
    put(0, name.substr(0, 100));
    put(100, fmt::format("{:07o}", mode));
    put(108, "0000000");
    put(116, "0000000");
    put(124, fmt::format("{:011o}", size));
    put(136, fmt::format("{:011o}", 1000));
    raw[156] = type;
    put(157, link.substr(0, 100));
    put(257, std::string_view("ustar\00000", 8));
    put(148, "        ");
    unsigned sum = 0;
    for (const char c : raw) {
        sum += static_cast<unsigned char>(c);
    }
    put(148, fmt::format("{:06o}", sum));
    raw[154] = '\0';
    return raw;
}

inline std::string tar_entry(std::string_view name, char type, std::string_view data = {},
                             std::string_view link = {}) {
    std::string out = tar_header(name, type, data.size(), link);
    out += data;
    out.append((512 - data.size() % 512) % 512, '\0');
    return out;
}
/// A pax record with its own length in front.
inline std::string pax_record(std::string_view key, std::string_view value) {
    const std::size_t rest = key.size() + value.size() + 3;
    std::size_t length = rest + 1;
    while (std::to_string(length).size() + rest != length) {
        length = std::to_string(length).size() + rest;
    }
    return fmt::format("{} {}={}\n", length, key, value);
}
/// A pax header with one record.
inline std::string tar_pax(std::string_view key, std::string_view value) {
    return tar_entry("PaxHeaders/x", 'x', pax_record(key, value));
}
inline std::string tar_file(std::string_view name, std::string_view data) {
    return tar_entry(name, '0', data);
}
inline std::string tar_end() { return std::string(1024, '\0'); }

/// Gives text in pieces of a fixed size.
class TextInput : public prefetch::convert::TarInput {
  public:
    TextInput(std::string text, std::size_t piece) : text_(std::move(text)), piece_(piece) {}
    base::Result<std::span<const std::uint8_t>> next() override {
        const std::size_t size = std::min(piece_, text_.size() - at_);
        // A copy of its own, so that a sanitizer sees every byte read after its time.
        current_.assign(text_.begin() + static_cast<std::ptrdiff_t>(at_),
                        text_.begin() + static_cast<std::ptrdiff_t>(at_ + size));
        current_.shrink_to_fit();
        at_ += size;
        return std::span<const std::uint8_t>(current_);
    }

  private:
    std::string text_;
    std::size_t piece_;
    std::size_t at_ = 0;
    std::vector<std::uint8_t> current_;
};

} // namespace slipway::test
