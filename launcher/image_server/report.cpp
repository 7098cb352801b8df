// SPDX-License-Identifier: Apache-2.0
#include "launcher/image_server/report.hpp"

#include "base/cursor.hpp"

#include <algorithm>

namespace slipway::launcher::image_server {
namespace {

using base::Code;
using base::fail;
using base::Result;
using image::ImageFile;

constexpr std::size_t max_word = 64; ///< bytes of a code or an architecture
constexpr std::size_t max_sentence = 1536;
constexpr std::size_t max_roots = 16;

base::Unexpected malformed() {
    return fail(Code::launcher_failed,
                "the process that serves the image answered what cannot be read");
}

Result<ImageFile> decode_image(base::Cursor& in) {
    ImageFile file;
    const auto kind = in.u8();
    file.architecture = std::string(image::architecture_from_machine(in.text(max_word)));
    const auto count = in.u8();
    for (std::size_t i = 0; i < count && in.ok(); ++i) {
        const auto fs = in.u32();
        image::ImageRoot root{static_cast<image::SifFs>(fs), in.u64(), in.u64()};
        if (fs > static_cast<std::uint32_t>(image::SifFs::gocryptfs)) {
            return malformed();
        }
        file.roots.push_back(root);
    }
    if (!in.ok() || !in.at_end() || count > max_roots ||
        kind > static_cast<std::uint8_t>(image::ImageKind::ext3)) {
        return malformed();
    }
    file.kind = static_cast<image::ImageKind>(kind);
    return file;
}

} // namespace

std::string encode_report(const Result<ImageFile>& image) {
    base::Packer out;
    out.u8(image ? 1 : 0);
    if (!image) {
        const auto& error = image.error();
        out.text(base::code_name(error.code));
        out.u32(static_cast<std::uint32_t>(error.sys_errno));
        out.text(std::string_view(error.message).substr(0, max_sentence));
        out.text(std::string_view(error.hint).substr(0, max_sentence));
        return out.take();
    }
    out.u8(static_cast<std::uint8_t>(image->kind));
    out.text(std::string_view(image->architecture).substr(0, max_word));
    out.u8(static_cast<std::uint8_t>(std::min(image->roots.size(), max_roots)));
    for (std::size_t i = 0; i < std::min(image->roots.size(), max_roots); ++i) {
        out.u32(static_cast<std::uint32_t>(image->roots[i].fs));
        out.u64(image->roots[i].offset);
        out.u64(image->roots[i].size);
    }
    return out.take();
}

Result<ImageFile> decode_report(std::string_view packet) {
    base::Cursor in(packet);
    if (in.u8() == 1) {
        return decode_image(in);
    }
    base::Error error;
    error.code = base::code_from_name(in.text(max_word));
    error.sys_errno = in.i32();
    error.message = std::string(in.text(max_sentence));
    error.hint = std::string(in.text(max_sentence));
    if (!in.ok() || !in.at_end()) {
        return malformed();
    }
    return base::Unexpected(std::move(error));
}

} // namespace slipway::launcher::image_server
