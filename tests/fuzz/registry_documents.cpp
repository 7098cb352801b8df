// SPDX-License-Identifier: Apache-2.0
// The way from a name to an image, with documents that an attacker wrote: parts of the input,
// separated by a line "--", are the root, its children and configurations, found by their digests.
#include "base/text.hpp"
#include "prefetch/sources/choose.hpp"

#include <cstdlib>
#include <map>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using namespace slipway;

class Documents : public prefetch::sources::DocumentSource {
  public:
    explicit Documents(std::string_view text) {
        while (!text.empty()) {
            const auto end = text.find("\n--\n");
            parts_.emplace_back(text.substr(0, end));
            text = end == std::string_view::npos ? std::string_view() : text.substr(end + 4);
        }
    }
    base::Result<prefetch::sources::RawDocument> document(const image::Descriptor& wanted) override {
        TRY_ASSIGN(auto body, small_blob(wanted));
        return prefetch::sources::RawDocument{std::move(body), wanted.media_type, wanted.digest};
    }
    /// Parts are also given for digests that are not theirs: the caller must find out.
    base::Result<std::string> small_blob(const image::Descriptor& wanted) override {
        for (const auto& part : parts_) {
            if (image::sha256(part) == wanted.digest) {
                return part;
            }
        }
        return parts_.empty() ? std::string() : parts_.back();
    }
    [[nodiscard]] std::string root() const { return parts_.empty() ? std::string() : parts_.front(); }

  private:
    std::vector<std::string> parts_;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Documents documents({reinterpret_cast<const char*>(data), size});
    prefetch::sources::RawDocument root{documents.root(), {}, image::sha256(documents.root())};
    const image::Platform wanted{"linux", "amd64", "", ""};
    const auto chosen = prefetch::sources::choose_image(std::move(root), wanted, documents, 64);
    if (chosen) {
        const bool sound =
            chosen->manifest.layers.size() == chosen->config.diff_ids.size() &&
            chosen->manifest.layers.size() <= 64 &&
            image::sha256(chosen->manifest_document.body) == chosen->manifest_document.digest &&
            image::sha256(chosen->config_json) == chosen->manifest.config.digest;
        if (!sound) {
            std::abort();
        }
    }
    return 0;
}
