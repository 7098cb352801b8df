// SPDX-License-Identifier: Apache-2.0
#include "layout.hpp"

#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/text.hpp"

#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace slipway::test {

using base::Code;
using base::fail;
using base::fail_errno;
using base::Result;

namespace {

constexpr int deepest_index = 4;

class FileSource final : public base::ByteSource {
  public:
    FileSource(base::UniqueFd fd, bool as_pipe) : fd_(std::move(fd)), as_pipe_(as_pipe) {}

    Result<std::size_t> read(std::span<std::uint8_t> buffer) override {
        for (;;) {
            const ssize_t got = ::read(fd_.get(), buffer.data(), buffer.size());
            if (got >= 0) {
                return static_cast<std::size_t>(got);
            }
            if (errno != EINTR) {
                return fail_errno(Code::io, errno, "cannot read a blob");
            }
        }
    }

    std::optional<base::FileRange> file_range() override {
        struct stat info {};
        auto copy = base::duplicate(fd_.get());
        if (as_pipe_ || !copy || fstat(fd_.get(), &info) != 0) {
            return std::nullopt;
        }
        return base::FileRange{std::move(*copy), 0, static_cast<std::uint64_t>(info.st_size)};
    }

  private:
    base::UniqueFd fd_;
    const bool as_pipe_;
};

std::string blob_path(const std::string& directory, const image::Digest& digest) {
    return fmt::format("{}/blobs/{}/{}", directory, digest.algorithm(), digest.hex());
}

Result<std::string> read_document(const std::string& directory,
                                  const image::Descriptor& descriptor, std::string_view what) {
    TRY_ASSIGN(std::string body,
               base::read_file(blob_path(directory, descriptor.digest), image::max_document));
    image::Hasher hasher(descriptor.digest);
    hasher.update(body);
    TRY(image::require_digest(hasher.finish(), descriptor.digest, what));
    return body;
}

Result<image::Descriptor> pick(const image::Index& index, std::string_view name,
                               const std::string& directory) {
    std::string offered;
    for (const auto& entry : index.manifests) {
        if (name.empty() ? index.manifests.size() == 1 : entry.ref_name() == name) {
            return entry;
        }
        offered += (offered.empty() ? "" : ", ") + base::in_quotes(entry.ref_name());
    }
    return fail(Code::source_not_found,
                fmt::format("{} holds no image named {}", base::in_quotes(directory),
                            base::in_quotes(name)),
                offered.empty() ? "the layout is empty" : "it holds: " + offered);
}

Result<image::Manifest> find_manifest(const std::string& directory, image::Descriptor at,
                                      const image::Platform& platform) {
    for (int depth = 0; depth < deepest_index; ++depth) {
        TRY_ASSIGN(const std::string body, read_document(directory, at, "the manifest"));
        TRY_ASSIGN(auto document, image::parse_document(body, at.media_type));
        if (auto* manifest = std::get_if<image::Manifest>(&document)) {
            return std::move(*manifest);
        }
        TRY_ASSIGN(at, image::select_platform(std::get<image::Index>(document), platform));
    }
    return fail(Code::source_protocol, "the indexes of the image are nested too deeply");
}

Result<std::unique_ptr<base::ByteSource>> open_file_source(const std::string& path, bool as_pipe) {
    TRY_ASSIGN(auto fd, base::open_file(path, O_RDONLY));
    return std::unique_ptr<base::ByteSource>(std::make_unique<FileSource>(std::move(fd), as_pipe));
}

} // namespace

Result<prefetch::convert::ConvertInput> layout_input(const std::string& directory,
                                                     std::string_view name,
                                                     const image::Platform& platform,
                                                     bool as_pipe) {
    TRY_ASSIGN(const std::string marker,
               base::read_file(directory + "/oci-layout", image::max_document));
    TRY(image::check_layout_marker(marker));
    TRY_ASSIGN(const std::string body,
               base::read_file(directory + "/index.json", image::max_document));
    TRY_ASSIGN(const auto index, image::parse_index(body));
    TRY_ASSIGN(const auto entry, pick(index, name, directory));
    TRY_ASSIGN(const auto manifest, find_manifest(directory, entry, platform));
    TRY(image::require_image(manifest));
    TRY_ASSIGN(const std::string text,
               read_document(directory, manifest.config, "the image configuration"));
    TRY_ASSIGN(const auto config, image::parse_image_config(text));
    if (manifest.layers.size() != config.diff_ids.size()) {
        return fail(Code::source_protocol,
                    fmt::format("the manifest has {} layers, but the image configuration has {} "
                                "diff ids",
                                manifest.layers.size(), config.diff_ids.size()));
    }
    prefetch::convert::ConvertInput input;
    for (std::size_t i = 0; i < manifest.layers.size(); ++i) {
        const auto path = blob_path(directory, manifest.layers[i].digest);
        input.layers.push_back({manifest.layers[i], config.diff_ids[i],
                                [path, as_pipe] { return open_file_source(path, as_pipe); }});
    }
    // Equal images for equal layouts, wherever they lie.
    input.native = prefetch::convert::native_parts({"oci", "test", ""}, config);
    return input;
}

} // namespace slipway::test
