// SPDX-License-Identifier: Apache-2.0
#include "prefetch/staging/finished.hpp"

#include "base/copy_file.hpp"
#include "base/text.hpp"

#include <cerrno>

#include <sys/stat.h>

namespace slipway::prefetch::staging {
namespace {

using base::Code;

base::Unexpected changed(const std::string& name) {
    return base::fail(Code::digest_mismatch,
                      base::in_quotes(name) + " changed while it was copied",
                      "try again when nothing writes to it any more");
}

} // namespace

base::Result<convert::ConvertReport>
take_finished(const sources::ResolvedImage& image, const sources::FinishedFile& file,
              const std::string& name, int out_fd, const CheckFinished& check,
              const stage::StageSink& sink, const std::stop_token& stop) {
    const auto copied = [&](std::uint64_t bytes) {
        sink({stage::Phase::copying, bytes, file.size, {}, {}});
    };
    copied(0);
    auto copy = base::copy_file(file.file->get(), out_fd, file.size, stop, copied);
    if (!copy) {
        return base::Unexpected(std::move(copy).error().context("copying " + base::in_quotes(name)));
    }
    TRY(check(out_fd, {name, file.size, image.platform.architecture}, stop));
    // Last: whoever read the copy could have written to it.
    TRY_ASSIGN(auto digest, image::sha256_of_file(out_fd, 0, file.size));
    struct stat st {};
    if (::fstat(file.file->get(), &st) != 0) {
        return base::fail_errno(Code::io, errno, "cannot look at " + base::in_quotes(name));
    }
    if (digest != image.manifest_digest || static_cast<std::uint64_t>(st.st_size) != file.size) {
        return changed(name);
    }
    convert::ConvertReport report;
    report.image_bytes = file.size;
    report.output = std::move(digest);
    return report;
}

} // namespace slipway::prefetch::staging
