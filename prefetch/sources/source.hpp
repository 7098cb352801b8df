// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"
#include "config/config.hpp"
#include "image/layer_input.hpp"
#include "image/oci.hpp"
#include "image/reference.hpp"
#include "prefetch/credentials/finder.hpp"
#include "prefetch/sources/silent_hosts.hpp"
#include "prefetch/transfer/fetch.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <variant>
#include <vector>

/// Where images come from: docker:// (registries), oci:, oci-archive:, docker-archive:, file:. A
/// source gives either layers as streams, for which it finds the manifest for a platform and checks
/// every document against its digest, or a finished file.
namespace slipway::prefetch::sources {

/// What has been fetched so far; updated while layers download, also those that nobody reads yet.
struct TransferCounters {
    std::atomic<std::uint64_t> done{0};  ///< bytes of layers received, downloads of one layer again
                                         ///< included
    std::atomic<std::uint64_t> total{0}; ///< bytes of all layers
};

/// What a name means now.
struct RemoteHead {
    image::Digest digest;
    bool is_index = false; ///< the digest is that of an index, not of one platform's manifest
};

/// An image of tar layers, which are converted.
struct LayeredImage {
    image::Manifest manifest;
    image::ImageConfig config;
    std::string config_json;   ///< the verified bytes
    std::string manifest_json; ///< the verified bytes; made by us for docker-archive
    std::vector<image::LayerInput> layers; ///< bottom first; manifest.layers in the same order
    std::shared_ptr<const TransferCounters> counters; ///< null where nothing is downloaded
};

/// An image that is kept as it is. Nothing of it has been read but for its digest: what it is, is
/// for a process to find out that can do nothing else (convert::check_isolated()).
struct FinishedFile {
    std::shared_ptr<const base::UniqueFd> file; ///< open for reading
    std::uint64_t size = 0;                     ///< bytes that the digest is of
};

struct ResolvedImage {
    std::string canonical_reference; ///< ImageUri::text(); for registries with @manifest_digest
    image::Digest root_digest;       ///< what the name meant: an index or the manifest itself
    image::Digest manifest_digest;   ///< of a finished file: of its content
    image::Platform platform;
    std::string origin_kind;         ///< "docker", "oci-archive", "file", …
    std::string endpoint;            ///< registry or mirror that answered; "" for local ones
    bool used_credentials = false;   ///< the registry was asked with credentials
    bool users_own_credentials = false; ///< … and they were the user's, so the image is private
    std::variant<LayeredImage, FinishedFile> content;
};

class Source {
  public:
    Source() = default;
    Source(const Source&) = delete;
    Source& operator=(const Source&) = delete;
    virtual ~Source() = default;

    /// Cheap: a HEAD request for registries.
    virtual base::Result<RemoteHead> head(const image::Platform& wanted, std::stop_token stop) = 0;

    /// The image for a platform. Layers are not touched before they are opened;
    /// the first open() starts downloading the others, too, in the order in which the converter
    /// wants them: from the last to the first. `stop` also ends these downloads.
    virtual base::Result<ResolvedImage> resolve(const image::Platform& wanted,
                                                std::stop_token stop) = 0;
};

struct SourceContext {
    std::shared_ptr<transfer::HttpClient> client;
    std::shared_ptr<const config::Config> config;
    credentials::CredentialFinder::Options credentials;
    /// See RegistryAuth::Options: the service sets it, so that what is public is known to be.
    bool anonymous_first = false;
    /// Command line option --no-https: plain http to loopback registries that slipway.yaml does not
    /// name. Other hosts need `insecure: true` there.
    bool no_https = false;
    transfer::RetryPolicy retry;
    transfer::Pace pace = transfer::real_pace();
    std::shared_ptr<SilentHosts> silent; ///< what other requests have found out about mirrors; may be null

    int spool = -1; ///< a directory for layers that arrive before their turn; outlives the source
    std::uint64_t spool_budget = std::uint64_t{8} << 30; ///< bytes in `spool` for one image
    unsigned parallel = 3;                        ///< layers downloaded at once
};

/// Code::image_not_found for a path where nothing is; Code::unsupported for directories and for
/// transports that this version does not fetch.
base::Result<std::unique_ptr<Source>> make_source(const image::ImageUri& uri,
                                                  const SourceContext& context);

/// Addresses that an HttpClient for this site may reach. With `public_only` (the service)
/// loopback, link-local and private addresses are refused except for the registries and mirrors
/// that the site file names.
transfer::AddressPolicy address_policy(const config::Config& config, bool public_only);

} // namespace slipway::prefetch::sources
