// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/sources/prefetcher.hpp"
#include "prefetch/sources/registry_endpoint.hpp"

#include <memory>
#include <string>
#include <vector>

namespace slipway::prefetch::sources {

/// docker://: the mirrors that the site configured, in order, then the registry itself. A mirror
/// that fails in any way is passed over; what the registry says is final, and where it says nothing
/// the error tells what the first mirror said. A mirror that cannot be connected to is asked once, and not again
/// by this object. Layers come from the endpoint that gave the manifest; one that this endpoint does
/// not have after all is asked of the others.
class RegistrySource : public Source {
  public:
    /// Nothing is sent yet. Code::option_invalid for --no-https with a host that is neither loopback
    /// nor configured.
    static base::Result<std::unique_ptr<Source>> create(const image::ImageUri& uri,
                                                        const SourceContext& context);

    base::Result<RemoteHead> head(const image::Platform& wanted, std::stop_token stop) override;
    base::Result<ResolvedImage> resolve(const image::Platform& wanted, std::stop_token stop) override;

  private:
    using Endpoints = std::vector<std::shared_ptr<const RegistryEndpoint>>;
    RegistrySource(image::ImageUri uri, std::shared_ptr<SourceContext> context,
                   std::shared_ptr<SilentHosts> silent, Endpoints endpoints);

    template <typename Ask> auto first_answer(Ask ask) const -> decltype(ask(std::size_t{0}));
    [[nodiscard]] bool is_silent(std::size_t mirror) const;
    base::Result<ResolvedImage> resolve_at(std::size_t endpoint, const image::Platform& wanted,
                                           const std::stop_token& stop) const;
    [[nodiscard]] std::shared_ptr<LayerPrefetcher>
    prefetch(const image::Manifest& manifest, std::size_t endpoint,
             std::shared_ptr<TransferCounters> counters, const std::stop_token& stop) const;

    image::ImageUri uri_;
    std::shared_ptr<SourceContext> context_;
    std::shared_ptr<SilentHosts> silent_; ///< of endpoints_, by name()
    Endpoints endpoints_; ///< mirrors first
};

/// "host[:port]" of an endpoint as a URL: plain http where the site file says `insecure: true`, or
/// for loopback hosts with `no_https`.
base::Result<transfer::Url> registry_url(const std::string& host, const config::Config& config, bool no_https);

} // namespace slipway::prefetch::sources
