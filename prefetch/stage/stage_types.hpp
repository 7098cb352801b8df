// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/enum_table.hpp"
#include "base/result.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>

#include <sys/types.h>

namespace slipway::prefetch::stage {

/// When a registry is asked although something is there already.
enum class PullPolicy {
    missing, ///< a tag that was looked up a moment ago is not looked up again
    always,  ///< the tag is looked up now; what it means may still be there
    never,   ///< only what is there; Code::not_staged otherwise
};

/// As options, requests and help spell them.
inline constexpr base::EnumTable pull_policies = std::array{
    base::EnumRow{PullPolicy::missing, "missing"},
    base::EnumRow{PullPolicy::always, "always"},
    base::EnumRow{PullPolicy::never, "never"},
};

struct StageRequest {
    std::string reference; ///< as the user wrote it: any form that image::parse_uri knows
    std::string platform;  ///< "linux/amd64"; empty: this machine's
    PullPolicy pull = PullPolicy::missing;
    uid_t uid = 0; ///< for whom: provenance and the grant
};

struct StagedImage {
    std::string reference; ///< canonical, with the digest: what a job should be pinned to
    std::string digest;    ///< of the manifest; of the content where the image is a finished file
    std::string id;        ///< in the store
    std::string path;      ///< of the .sif
    std::uint64_t size = 0;
    bool was_present = false; ///< nothing had to be fetched or converted
};

/// What is said about each: phases.hpp.
enum class Phase {
    queued,
    waiting,
    resolving,
    resolved,
    downloading,
    converting,
    copying,
    publishing
};

struct StageProgress {
    Phase phase = Phase::queued;
    std::uint64_t done = 0;  ///< bytes, or the place in the queue
    std::uint64_t total = 0; ///< bytes; 0: unknown
    std::string detail;      ///< who is waited for, which layer; may be empty
    /// Phase::resolved: what will be ready, and where; the file is not there yet.
    std::optional<StagedImage> image{};
};

/// Called from any thread, one call at a time for one request.
using StageSink = std::function<void(const StageProgress&)>;

/// Stages one image: blocks until it is in the store. `stop` ends it soon; Code::interrupted.
using StageFunction = std::function<base::Result<StagedImage>(
    const StageRequest&, const StageSink&, std::stop_token stop)>;

} // namespace slipway::prefetch::stage
