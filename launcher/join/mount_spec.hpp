// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/join/request.hpp"

#include <string>
#include <string_view>
#include <vector>

/// The three spellings in which users ask for a mount, brought to one form. Pure text work: nothing
/// here looks at a file system. srun checks with it before anything is queued, the launcher again
/// on the node.
namespace slipway::launcher::join {

/// One mount that somebody asked for.
struct MountSpec {
    enum class Kind : std::uint8_t { bind, tmpfs };
    Kind kind = Kind::bind;
    std::string source; ///< absolute host path; empty for tmpfs
    std::string target; ///< absolute, clean, without ".."
    bool readonly = false;
    bool noexec = false;
    bool private_propagation = false; ///< later mounts of the host do not appear
    bool optional = false;            ///< no mount and no error where the source is missing
    std::string written;              ///< as the user wrote it, for messages: this mount alone
};

/// Takes one argument apart, which may hold several mounts. `cwd` (absolute) is what relative
/// sources are taken against. Where it is empty (not known yet) they stay relative, and one that
/// would be its own target has an empty target.
///
/// pyxis      SRC:DST[:FLAG+FLAG],…   SRC is a path (relative: with a dot in front) or "tmpfs";
///                                    "SRC" alone means SRC:SRC
/// bind       src[:dst[:opt[,opt]]],… reference native-image.md 8.2; `\,` and `\:` are escapes
/// mount_csv  type=bind,source=…,destination=…[,ro], RFC 4180 quoting, one mount a line
///
/// Code::mount_invalid for bad syntax, unknown flags (with the nearest known one) and flags that
/// exclude each other,
/// Code::mount_target_invalid for targets that no container may have, Code::unsupported for image
/// binds.
base::Result<std::vector<MountSpec>> parse_mounts(const MountRequest& request,
                                                  std::string_view cwd);

/// The pyxis spelling with every source absolute, for a reader that does not know `cwd`. Errors as
/// above, and where a relative source cannot be written as an absolute one.
base::Result<std::string> absolute_mounts(std::string_view text, std::string_view cwd);

/// Refuses targets that would take the container apart: relative ones, ones with "..", "/", "/proc"
/// and what lies below it, "/sys" and "/dev" themselves. `written` goes into the message.
base::Result<void> check_target(std::string_view target, std::string_view written);

/// PATH[:ro], as --overlay has it. Code::usage when there is no path.
base::Result<OverlayRequest> parse_overlay(std::string_view text);

} // namespace slipway::launcher::join
