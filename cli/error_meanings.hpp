// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/error_codes.hpp"

#include <array>
#include <cstddef>
#include <string_view>

namespace slipway::cli {

struct ErrorMeaning {
    base::Code code;
    std::string_view meaning; ///< whole sentence
};

/// What the manual says about each code.
inline constexpr std::array error_meanings = {
    ErrorMeaning{base::Code::internal, "A mistake in Slipway itself; please report it."},
    ErrorMeaning{base::Code::usage, "The command line is wrong."},
    ErrorMeaning{base::Code::io, "A file or directory cannot be read or written."},
    ErrorMeaning{base::Code::system, "The system refuses something else: a process, a system call."},
    ErrorMeaning{base::Code::out_of_space, "The disk or the user's disk quota is full."},
    ErrorMeaning{base::Code::interrupted, "Ctrl-C or a signal has ended the work."},
    ErrorMeaning{base::Code::timed_out, "Something has taken longer than it may."},
    ErrorMeaning{base::Code::limit_exceeded, "Something is larger, or there is more of it, than a limit allows."},
    ErrorMeaning{base::Code::unsupported, "This version cannot do it."},
    ErrorMeaning{base::Code::config_missing, "The site file is not there or cannot be read."},
    ErrorMeaning{base::Code::config_invalid, "The site file has a mistake."},
    ErrorMeaning{base::Code::config_insecure, "Others than root could change the site file."},
    ErrorMeaning{base::Code::policy_denied, "The site does not allow it."},
    ErrorMeaning{base::Code::option_invalid, "The value of an option or variable is wrong."},
    ErrorMeaning{base::Code::option_too_long, "The value of an option or variable is too long."},
    ErrorMeaning{base::Code::option_conflict, "Options contradict each other, or have no effect without another."},
    ErrorMeaning{base::Code::reference_invalid, "The name of an image is written wrongly."},
    ErrorMeaning{base::Code::mount_invalid, "A mount is written wrongly."},
    ErrorMeaning{base::Code::image_not_found, "There is no such image file."},
    ErrorMeaning{base::Code::image_unreadable, "The image may not, or cannot, be opened."},
    ErrorMeaning{base::Code::image_format, "The file or directory is not an image."},
    ErrorMeaning{base::Code::image_corrupt, "The image is damaged."},
    ErrorMeaning{base::Code::image_architecture, "The image is made for machines of another kind."},
    ErrorMeaning{base::Code::image_unsupported, "It is an image, of a kind that this version does not run."},
    ErrorMeaning{base::Code::image_exists, "There is a file already where a new one was to be made."},
    ErrorMeaning{base::Code::mount_source_missing, "What is to be mounted is not there or not accessible."},
    ErrorMeaning{base::Code::mount_target_invalid, "Nothing can be mounted at that place of the container."},
    ErrorMeaning{base::Code::mount_failed, "The system refuses a mount."},
    ErrorMeaning{base::Code::workdir_missing, "The working directory is not there in the container."},
    ErrorMeaning{base::Code::command_not_found, "The container has no such command, or it is not executable."},
    ErrorMeaning{base::Code::fuse_unavailable, "The machine lacks /dev/fuse, or it cannot be used."},
    ErrorMeaning{base::Code::userns_unavailable, "The machine does not allow user namespaces."},
    ErrorMeaning{base::Code::launcher_failed, "The container could not be started on the node."},
    ErrorMeaning{base::Code::launcher_lost, "The process that keeps the container has ended."},
    ErrorMeaning{base::Code::plugin_misconfigured, "The plugin's line in plugstack.conf, or what it names, is wrong."},
    ErrorMeaning{base::Code::source_not_found, "The registry, layout or archive has no such image."},
    ErrorMeaning{base::Code::source_unreachable, "The registry cannot be reached or does not work."},
    ErrorMeaning{base::Code::source_denied, "The registry wants other credentials, or none would do."},
    ErrorMeaning{base::Code::source_protocol, "The registry, layout or archive answers something that makes no sense."},
    ErrorMeaning{base::Code::source_rate_limited, "The registry wants fewer requests; try again later."},
    ErrorMeaning{base::Code::platform_mismatch, "The image does not exist for this platform."},
    ErrorMeaning{base::Code::digest_mismatch, "What was fetched is not what its digest promises."},
    ErrorMeaning{base::Code::layer_invalid, "A layer of the image cannot be unpacked."},
    ErrorMeaning{base::Code::media_type, "The image has parts of a kind that is not known."},
    ErrorMeaning{base::Code::credentials_invalid, "A file or program with credentials is wrong."},
    ErrorMeaning{base::Code::store_unusable, "The store cannot be used: rights, place or content forbid it."},
    ErrorMeaning{base::Code::store_corrupt, "Something in the store is damaged."},
    ErrorMeaning{base::Code::quota_exceeded, "The image does not fit into the store's quota."},
    ErrorMeaning{base::Code::not_staged, "The image is not in the store, or could not be brought there."},
    ErrorMeaning{base::Code::service_unreachable, "The staging service does not answer."},
    ErrorMeaning{base::Code::service_protocol, "The staging service and its client do not understand each other."},
    ErrorMeaning{base::Code::service_busy, "The staging service has too much to do for this user."},
};

#define SLIPWAY_X(name, text) base::Code::name,
static_assert([] {
    constexpr base::Code all[] = {SLIPWAY_ERROR_CODES(SLIPWAY_X)};
    std::size_t row = 0;
    for (const auto code : all) {
        if (row == error_meanings.size() || error_meanings[row].code != code) {
            return false;
        }
        ++row;
    }
    return row == error_meanings.size();
}(), "every error code has one row, in the order of error_codes.hpp");
#undef SLIPWAY_X

} // namespace slipway::cli
