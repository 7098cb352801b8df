// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace slipway::store {

/// Where an image came from and what was made of it: images/<id>.json. Written before the image
/// becomes visible, never changed. Policy and accounting read it.
struct Provenance {
    std::string id;
    std::string reference;       ///< canonical, as asked for
    std::string origin;          ///< docker, oci, oci-archive, docker-archive, file, …
    std::string manifest_digest;
    std::string platform;        ///< os/arch[/variant]
    std::string options;         ///< canonical conversion options
    std::string format;          ///< version of the output format
    std::string output_digest;   ///< sha256:… of the .sif
    std::uint64_t output_size = 0;
    std::vector<std::string> layers; ///< blob digests, bottom first
    std::uint32_t uid = 0;       ///< who staged it
    std::string host;
    std::int64_t created = 0;    ///< seconds since the epoch
    std::uint64_t duration_ms = 0;
    std::string tool_version;
    bool private_credentials = false; ///< made with a user's own credentials: never in a shared store
};

std::string to_json(const Provenance& provenance);
/// Code::store_corrupt for anything that to_json() cannot have written.
base::Result<Provenance> provenance_from_json(std::string_view text);

struct RefRecord;
std::string to_json(const RefRecord& record);
base::Result<RefRecord> ref_from_json(std::string_view text);

} // namespace slipway::store
