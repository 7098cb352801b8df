// SPDX-License-Identifier: Apache-2.0
#include "prefetch/convert/finished_file.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "image/open_image.hpp"
#include "squashfs/reader/image.hpp"

namespace slipway::prefetch::convert {

using base::Code;

base::Result<void> check_finished(int fd, const FinishedCheck& check) {
    TRY_ASSIGN(const auto file, image::identify_image(fd, check.size, check.name));
    if (file.kind != image::ImageKind::sif && file.kind != image::ImageKind::oci_sif) {
        return base::fail(Code::unsupported,
                          base::in_quotes(check.name) + " is a file system image, not a SIF file",
                          "it is used as it is, and copied with cp");
    }
    // For itself: whether this machine can run it is not the question.
    TRY(image::require_runnable(file, check.name, file.architecture));
    if (!image::runs_natively(file.architecture, check.architecture)) {
        return base::fail(Code::platform_mismatch,
                          fmt::format("{} is made for {}, not for {}", base::in_quotes(check.name),
                                      file.architecture, check.architecture),
                          "say so: --arch " + file.architecture);
    }
    for (const auto& root : file.roots) {
        auto opened = squashfs::reader::Image::open(fd, root.offset, root.size);
        if (!opened) {
            return base::Unexpected(
                std::move(opened).error().context("image " + base::in_quotes(check.name)));
        }
    }
    return {};
}

} // namespace slipway::prefetch::convert
