// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "image/oci.hpp"
#include "prefetch/sources/source.hpp"

#include <map>
#include <string>
#include <vector>

namespace slipway::test {

/// A made-up image: documents and layers by digest, as a registry or a layout holds them. Layers are
/// plain texts; nothing in sources/ looks inside them.
struct FakeImage {
    std::map<std::string, std::string> blobs; ///< "sha256:…" -> bytes
    std::string config;
    std::string manifest;
    std::string manifest_digest;
    std::vector<std::string> layers; ///< bottom first
};

inline std::string digest_of(const std::string& bytes) {
    return image::sha256(bytes).text();
}

inline std::string descriptor(std::string_view type, const std::string& bytes,
                              const std::string& more = "") {
    return R"({"mediaType":")" + std::string(type) + R"(","digest":")" + digest_of(bytes) +
           R"(","size":)" + std::to_string(bytes.size()) + more + "}";
}

inline FakeImage make_image(const std::string& architecture = "amd64",
                            const std::vector<std::string>& layers = {"bottom layer", "top layer"}) {
    FakeImage made;
    made.layers = layers;
    std::string diff_ids;
    std::string list;
    for (const auto& layer : layers) {
        made.blobs[digest_of(layer)] = layer;
        diff_ids += (diff_ids.empty() ? "\"" : ",\"") + digest_of(layer) + "\"";
        list += (list.empty() ? "" : ",") + descriptor(image::media::oci_layer_tar, layer);
    }
    made.config = R"({"architecture":")" + architecture +
                  R"(","os":"linux","config":{"Cmd":["sh"]},"rootfs":{"type":"layers","diff_ids":[)" +
                  diff_ids + "]}}";
    made.blobs[digest_of(made.config)] = made.config;
    made.manifest = R"({"schemaVersion":2,"mediaType":")" + std::string(image::media::oci_manifest) +
                    R"(","config":)" + descriptor(image::media::oci_config, made.config) +
                    R"(,"layers":[)" + list + "]}";
    made.manifest_digest = digest_of(made.manifest);
    made.blobs[made.manifest_digest] = made.manifest;
    return made;
}

inline std::string make_index(const std::vector<std::string>& descriptors) {
    std::string list;
    for (const auto& entry : descriptors) {
        list += (list.empty() ? "" : ",") + entry;
    }
    return R"({"schemaVersion":2,"mediaType":")" + std::string(image::media::oci_index) +
           R"(","manifests":[)" + list + "]}";
}

/// The layers of an image that has some.
inline const prefetch::sources::LayeredImage& layered(const prefetch::sources::ResolvedImage& image) {
    return std::get<prefetch::sources::LayeredImage>(image.content);
}

} // namespace slipway::test
