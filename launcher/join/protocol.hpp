// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"
#include "launcher/join/request.hpp"

#include <string>
#include <vector>

namespace slipway::launcher::join {

// The step socket: a SOCK_SEQPACKET pair made by the plugin in slurmstepd. One end is shared by all
// task children of that slurmstepd, the other belongs to slipway-launch. Who says what, in order:
//
//   launcher -> first task   unshared            (kernel-checked pid: SO_PASSCRED on the tasks'
//   end) first task -> launcher   mapped              (setgroups, uid_map and gid_map are written)
//   first task -> launcher   request + memfd     (encoded Request; sealed)
//   launcher -> first task   need_fuse           (only where the user may not open /dev/fuse)
//   first task -> launcher   fuse + fd           (opened by root inside the launcher's namespace)
//   launcher -> first task   warning*            (text for the user, one line)
//   launcher -> first task   ready + fds | failed(error)
//   later task -> launcher   join
//   launcher -> later task   ready + fds | failed(error)
//
// Tasks speak only while they hold the step's mutex (step_state.hpp), so an answer is always read
// by the task that asked; an answer left behind by a task that was killed in between is equal to
// the next one and therefore harmless.

enum class MessageType : std::uint16_t {
    unshared = 1,
    mapped,
    request,
    need_fuse,
    fuse,
    warning,
    ready,
    failed,
    join,
};

inline constexpr std::uint32_t protocol_magic = 0x59575053; // "SPWY"
inline constexpr std::uint16_t protocol_version = 1;
inline constexpr std::size_t max_message_bytes = 8192;

struct Message {
    MessageType type = MessageType::failed;
    std::string body;
    std::vector<base::UniqueFd> fds;
    pid_t pid = -1;
};

base::Result<void> send_message(int socket, MessageType type, std::string_view body = {},
                                std::span<const int> fds = {});
/// Code::launcher_lost when the other side has closed, Code::timed_out after timeout_ms (< 0:
/// never). Code::launcher_failed for a message that makes no sense: it is taken from the socket,
/// which is as good as before, so that whoever sent it harms nobody but themselves.
base::Result<Message> recv_message(int socket, int timeout_ms);

/// Error <-> body of `failed` (code name, errno, message, hint; each cut to 2 KiB).
std::string encode(const base::Error& error);
base::Error decode_error(std::string_view body);

/// Kinds of the namespaces that `ready` carries, in the order of its descriptors; after them comes
/// the sealed memfd with the JoinRecord. Body: u32 count, then that many u32 CLONE_NEW* values.
/// The user namespace is always the first.
struct ReadyBody {
    std::vector<std::uint32_t> namespaces;
};
std::string encode(const ReadyBody& body);
base::Result<ReadyBody> decode_ready(std::string_view body);

} // namespace slipway::launcher::join
