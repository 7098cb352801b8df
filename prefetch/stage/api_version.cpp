// SPDX-License-Identifier: Apache-2.0
#include "prefetch/stage/api_version.hpp"

#include "base/format.hpp"
#include "base/text.hpp"

namespace slipway::prefetch::stage {
namespace {

constexpr const char* update_one = "client and service must be of one version: update the older one";

} // namespace

base::Error version_mismatch(std::string_view client, std::string_view service) {
    constexpr std::uint64_t max_version = 1000000;
    const auto ours = base::parse_u64(client, max_version);
    const auto theirs = base::parse_u64(service, max_version);
    const char* hint = update_one;
    if (ours && theirs && *ours < *theirs) {
        hint = "the client is older than the service: update Slipway on this machine";
    } else if (ours && theirs && *ours > *theirs) {
        hint = "the service is older than the client: ask your site to update slipwayd";
    }
    return {base::Code::service_protocol, 0,
            fmt::format("the client speaks version {} of the interface, the service version {}",
                        base::in_quotes(client, 20), base::in_quotes(service, 20)),
            hint};
}

base::Error senseless_answer() {
    return {base::Code::service_protocol, 0, "the service's answer makes no sense", update_one};
}

} // namespace slipway::prefetch::stage
