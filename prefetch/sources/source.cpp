// SPDX-License-Identifier: Apache-2.0
#include "prefetch/sources/source.hpp"

#include "image/transports.hpp"
#include "prefetch/sources/local_source.hpp"
#include "prefetch/sources/registry_source.hpp"

#include <algorithm>
#include <iterator>

namespace slipway::prefetch::sources {
namespace {

struct Maker {
    image::Transport transport;
    base::Result<std::unique_ptr<Source>> (*make)(const image::ImageUri&, const SourceContext&);
};
constexpr Maker makers[] = {
    {image::Transport::docker, RegistrySource::create},
    {image::Transport::oci, make_oci_source},
    {image::Transport::oci_archive, make_oci_source},
    {image::Transport::docker_archive, make_docker_archive_source},
    {image::Transport::file, make_file_source},
};

/// What the table of transports promises to fetch is made here, and nothing else.
consteval bool makers_are_complete() {
    for (const auto& row : image::transport_table) {
        const bool made = std::any_of(std::begin(makers), std::end(makers), [&](const Maker& maker) {
            return maker.transport == row.transport;
        });
        if (made != row.can(image::Use::fetch)) {
            return false;
        }
    }
    return true;
}
static_assert(makers_are_complete());

} // namespace

base::Result<std::unique_ptr<Source>> make_source(const image::ImageUri& uri,
                                                  const SourceContext& context) {
    for (const auto& row : makers) {
        if (row.transport == uri.transport) {
            return row.make(uri, context);
        }
    }
    return base::Unexpected(image::require_use(uri, image::Use::fetch).error());
}

transfer::AddressPolicy address_policy(const config::Config& config, bool public_only) {
    transfer::AddressPolicy policy;
    policy.public_only = public_only;
    for (const auto& [host, registry] : config.registries) {
        policy.trusted_hosts.insert(host);
        policy.trusted_hosts.insert(registry.mirrors.begin(), registry.mirrors.end());
    }
    return policy;
}

} // namespace slipway::prefetch::sources
