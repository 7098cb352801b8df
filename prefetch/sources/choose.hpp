// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "image/oci.hpp"

#include <string>
#include <string_view>

namespace slipway::prefetch::sources {

/// A manifest or index as it was received.
struct RawDocument {
    std::string body;
    std::string content_type; ///< "" when the transport says nothing
    image::Digest digest;     ///< of the body, verified
};

/// Gives documents and small blobs by their descriptors. What it returns is verified by the caller.
class DocumentSource {
  public:
    DocumentSource() = default;
    DocumentSource(const DocumentSource&) = delete;
    DocumentSource& operator=(const DocumentSource&) = delete;
    virtual ~DocumentSource() = default;
    virtual base::Result<RawDocument> document(const image::Descriptor& wanted) = 0;
    virtual base::Result<std::string> small_blob(const image::Descriptor& wanted) = 0;
};

/// One platform's image with all that is needed to convert it but the layers themselves.
struct ChosenImage {
    RawDocument manifest_document;
    image::Manifest manifest;
    std::string config_json;
    image::ImageConfig config;
};

/// Goes from what a name means to one platform's image: through at most 4 nested indexes, checking
/// digest and size of every document, that the image is one that can be converted, that its
/// configuration is for the wanted platform, and that it has a diff_id for each layer and at most
/// `max_layers` of them. Where an index does not name the platforms of its entries, the
/// configurations do; if those are silent, too, the first entry is taken.
base::Result<ChosenImage> choose_image(RawDocument root, const image::Platform& wanted,
                                       DocumentSource& source, std::uint64_t max_layers);

/// Code::digest_mismatch when a body is not what its descriptor says; `what` is for the message.
base::Result<void> verify(std::string_view body, const image::Descriptor& expected,
                          std::string_view what);

} // namespace slipway::prefetch::sources
