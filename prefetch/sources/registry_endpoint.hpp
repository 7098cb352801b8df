// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/sources/choose.hpp"
#include "prefetch/sources/registry_auth.hpp"
#include "prefetch/sources/source.hpp"

#include <memory>
#include <optional>
#include <string>

namespace slipway::prefetch::sources {

/// One server that has a repository: the registry itself or a mirror (distribution-spec 1.1).
/// Thread-safe.
class RegistryEndpoint {
  public:
    struct Options {
        transfer::FetchContext context;
        transfer::Url base;               ///< scheme, host and port; the target is ignored
        std::string repository; ///< "library/alpine"
        std::string ca_file;
        std::uint64_t max_bytes_per_second = 0; ///< for each blob
        std::shared_ptr<RegistryAuth> auth;
    };
    explicit RegistryEndpoint(Options options) : options_(std::move(options)) {}

    /// What a tag means, by HEAD; by GET where the answer lacks the digest or is any failure but
    /// 401. After HEAD nothing about the body is verified.
    base::Result<RemoteHead> head(const std::string& tag, const std::stop_token& stop) const;

    /// A manifest or index by tag or digest ("sha256:…"). Asked by digest, the body has that digest;
    /// else it agrees with Docker-Content-Digest where the registry sends one.
    base::Result<RawDocument> manifest(const std::string& selector, const std::stop_token& stop) const;

    /// A whole blob; longer than its descriptor says is an error. The digest is not checked here.
    base::Result<std::string> small_blob(const image::Descriptor& blob,
                                         const std::stop_token& stop) const;

    /// A blob as a stream, from the registry or, for foreign layers, from the descriptor's URLs.
    base::Result<std::unique_ptr<base::ByteSource>> open_blob(const image::Descriptor& blob,
                                                        const std::stop_token& stop) const;

    [[nodiscard]] const RegistryAuth& auth() const noexcept { return *options_.auth; }
    [[nodiscard]] std::string name() const { return options_.base.host_port(); }

    /// URL of an API path: "manifests/latest", "blobs/sha256:…".
    [[nodiscard]] transfer::Url url(std::string_view path) const;

  private:
    [[nodiscard]] base::Unexpected refused(const transfer::Fetched& reply) const;
    base::Result<transfer::Fetched> ask(transfer::HttpRequest request, std::size_t max_body,
                              const std::stop_token& stop) const;
    base::Result<std::unique_ptr<base::ByteSource>> open_foreign(const image::Descriptor& blob,
                                                           base::Error registry_error,
                                                           const std::stop_token& stop) const;
    [[nodiscard]] transfer::HttpRequest request(std::string_view path) const;

    Options options_;
};

} // namespace slipway::prefetch::sources
