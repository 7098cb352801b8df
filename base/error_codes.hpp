// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

/// Every error that a person can see has one of these codes. The text is stable: scripts may match
/// it, documentation lists it, and it never changes its meaning. Columns: enumerator, text.
#define SLIPWAY_ERROR_CODES(X)                                                                     \
    /* general */                                                                                  \
    X(internal, "internal")                                                                        \
    X(usage, "usage")                                                                              \
    X(io, "io")                                                                                    \
    X(system, "system")                                                                            \
    X(out_of_space, "out-of-space")                                                                \
    X(interrupted, "interrupted")                                                                  \
    X(timed_out, "timed-out")                                                                      \
    X(limit_exceeded, "limit-exceeded")                                                            \
    X(unsupported, "unsupported")                                                                  \
    /* configuration */                                                                            \
    X(config_missing, "config-missing")                                                            \
    X(config_invalid, "config-invalid")                                                            \
    X(config_insecure, "config-insecure")                                                          \
    X(policy_denied, "policy-denied")                                                              \
    /* options and references */                                                                   \
    X(option_invalid, "option-invalid")                                                            \
    X(option_too_long, "option-too-long")                                                          \
    X(option_conflict, "option-conflict")                                                          \
    X(reference_invalid, "reference-invalid")                                                      \
    X(mount_invalid, "mount-invalid")                                                              \
    /* image files */                                                                              \
    X(image_not_found, "image-not-found")                                                          \
    X(image_unreadable, "image-unreadable")                                                        \
    X(image_format, "image-format")                                                                \
    X(image_corrupt, "image-corrupt")                                                              \
    X(image_architecture, "image-architecture")                                                    \
    X(image_unsupported, "image-unsupported")                                                      \
    X(image_exists, "image-exists")                                                                \
    /* launching */                                                                                \
    X(mount_source_missing, "mount-source-missing")                                                \
    X(mount_target_invalid, "mount-target-invalid")                                                \
    X(mount_failed, "mount-failed")                                                                \
    X(workdir_missing, "workdir-missing")                                                          \
    X(command_not_found, "command-not-found")                                                      \
    X(fuse_unavailable, "fuse-unavailable")                                                        \
    X(userns_unavailable, "userns-unavailable")                                                    \
    X(launcher_failed, "launcher-failed")                                                          \
    X(launcher_lost, "launcher-lost")                                                              \
    X(plugin_misconfigured, "plugin-misconfigured")                                                \
    /* registries and sources */                                                                   \
    X(source_not_found, "source-not-found")                                                        \
    X(source_unreachable, "source-unreachable")                                                    \
    X(source_denied, "source-denied")                                                              \
    X(source_protocol, "source-protocol")                                                          \
    X(source_rate_limited, "source-rate-limited")                                                  \
    X(platform_mismatch, "platform-mismatch")                                                      \
    X(digest_mismatch, "digest-mismatch")                                                          \
    X(layer_invalid, "layer-invalid")                                                              \
    X(media_type, "media-type")                                                                    \
    X(credentials_invalid, "credentials-invalid")                                                  \
    /* store and service */                                                                        \
    X(store_unusable, "store-unusable")                                                            \
    X(store_corrupt, "store-corrupt")                                                              \
    X(quota_exceeded, "quota-exceeded")                                                            \
    X(not_staged, "not-staged")                                                                    \
    X(service_unreachable, "service-unreachable")                                                  \
    X(service_protocol, "service-protocol")                                                        \
    X(service_busy, "service-busy")

namespace slipway::base {

enum class Code : std::uint16_t {
#define SLIPWAY_X(name, text) name,
    SLIPWAY_ERROR_CODES(SLIPWAY_X)
#undef SLIPWAY_X
};

/// Stable text of a code, for example "image-not-found".
std::string_view code_name(Code code) noexcept;

/// Code for a stable text; Code::internal when no code has that text (an older or newer peer).
Code code_from_name(std::string_view name) noexcept;

/// Exit codes of our own programs. A command that ran gives its own exit code, 128+n for signal n.
enum class ExitCode : int {
    ok = 0,
    usage = 1,   ///< the command line was wrong (as Singularity and Apptainer do)
    setup = 255, ///< anything failed before the command could start (as Singularity and Apptainer do)
};

ExitCode exit_code_for(Code code) noexcept;

} // namespace slipway::base
