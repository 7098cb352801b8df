// SPDX-License-Identifier: Apache-2.0
#include "prefetch/sources/source.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "prefetch/sources/local_source.hpp"
#include "prefetch/sources/registry_source.hpp"

namespace slipway::prefetch::sources {

base::Result<std::unique_ptr<Source>> make_source(const image::ImageUri& uri, SourceContext context) {
    switch (uri.transport) {
    case image::Transport::docker:
        return RegistrySource::create(uri, std::move(context));
    case image::Transport::oci:
    case image::Transport::oci_archive:
        return make_oci_source(uri, context);
    case image::Transport::docker_archive:
        return make_docker_archive_source(uri, context);
    default:
        return base::fail(base::Code::unsupported,
                          fmt::format("{} cannot be fetched layer by layer: the transport {} is not "
                                      "supported for this",
                                      base::in_quotes(uri.written),
                                      image::transport_name(uri.transport)),
                          "use docker://, oci:, oci-archive: or docker-archive:, or a SIF file");
    }
}

transfer::AddressPolicy address_policy(const config::Config& config, bool for_strangers) {
    transfer::AddressPolicy policy;
    policy.public_only = for_strangers;
    for (const auto& [host, registry] : config.registries) {
        policy.trusted_hosts.insert(host);
        policy.trusted_hosts.insert(registry.mirrors.begin(), registry.mirrors.end());
    }
    return policy;
}

} // namespace slipway::prefetch::sources
