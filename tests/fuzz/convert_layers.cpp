// SPDX-License-Identifier: Apache-2.0
// The whole converter on hostile layer sets: each layer is two bytes of length (little-endian, in
// units of 64 bytes) and as many bytes of tar. Header checksums are put right, so that mutations reach
// the code behind them. What is converted must read back as a SIF with a sane SquashFS inside.
#include "image/open_image.hpp"
#include "prefetch/convert/convert.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

using namespace slipway;

namespace {

class StringSource : public base::ByteSource {
  public:
    explicit StringSource(std::string bytes) : bytes_(std::move(bytes)) {}
    base::Result<std::size_t> read(std::span<std::uint8_t> buffer) override {
        const std::size_t size = std::min(buffer.size(), bytes_.size() - at_);
        std::copy_n(bytes_.data() + at_, size, buffer.data());
        at_ += size;
        return size;
    }

  private:
    std::string bytes_;
    std::size_t at_ = 0;
};

void mend_checksums(std::string& tar) {
    for (std::size_t at = 0; at + 512 <= tar.size(); at += 512) {
        if (std::memcmp(tar.data() + at + 257, "ustar", 5) != 0) {
            continue;
        }
        tar.replace(at + 148, 8, "        ");
        unsigned sum = 0;
        for (std::size_t i = 0; i < 512; ++i) {
            sum += static_cast<unsigned char>(tar[at + i]);
        }
        tar.replace(at + 148, 6, fmt::format("{:06o}", sum));
        tar[at + 154] = '\0';
    }
}

image::LayerInput layer_of(std::string tar) {
    mend_checksums(tar);
    image::LayerInput layer;
    layer.blob.media_type = image::media::oci_layer_tar;
    layer.blob.digest = layer.diff_id = image::sha256(tar);
    layer.blob.size = tar.size();
    layer.open = [tar]() -> base::Result<std::unique_ptr<base::ByteSource>> {
        return std::make_unique<StringSource>(tar);
    };
    return layer;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    prefetch::convert::ConvertInput input;
    std::string_view rest(reinterpret_cast<const char*>(data), size);
    while (rest.size() > 2 && input.layers.size() < 6) {
        const std::size_t units = static_cast<unsigned char>(rest[0]) |
                                  static_cast<std::size_t>(static_cast<unsigned char>(rest[1])) << 8U;
        rest.remove_prefix(2);
        const std::size_t part = std::min(units * 64, rest.size());
        input.layers.push_back(layer_of(std::string(rest.substr(0, part))));
        rest.remove_prefix(part);
    }
    input.native = prefetch::convert::native_parts({}, {});
    prefetch::convert::ConvertOptions options;
    options.threads = 1;
    options.memory = 1U << 20U;
    options.block_size = 4096;
    options.limits.image_bytes = 16U << 20U;
    const int fd = memfd_create("fuzz", MFD_CLOEXEC);
    prefetch::convert::ProgressSink quiet;
    const auto report = prefetch::convert::convert(input, options, fd, quiet);
    if (report) {
        const auto file = image::probe_image(fd, report->image_bytes);
        if (!file || file->kind != image::ImageKind::sif || file->roots.empty()) {
            std::abort(); // we wrote something that we cannot read
        }
    } else if (lseek(fd, 0, SEEK_END) != 0) {
        std::abort();
    }
    close(fd);
    return 0;
}
