// SPDX-License-Identifier: Apache-2.0
#include "launcher/join/protocol.hpp"

#include "base/cursor.hpp"
#include "base/format.hpp"

#include <linux/sched.h>

#include <algorithm>
#include <cerrno>

namespace slipway::launcher::join {
namespace {

using base::Code;
using base::Cursor;
using base::Error;
using base::Packer;
using base::Result;

constexpr std::size_t max_error_text = 2048;
/// A user and a mount namespace always; pid, net, ipc, uts, cgroup and time at most besides.
constexpr std::size_t max_namespaces = 8;

base::Unexpected lost() {
    return base::fail(Code::launcher_lost, "the container's launcher has ended unexpectedly",
                      "try again; the system log of the node may say more (out of memory?)");
}

Error malformed_error() {
    return {Code::launcher_failed, 0, "a message between task and launcher is malformed",
            "install plugin and launcher from the same release"};
}

base::Unexpected malformed() {
    return base::Unexpected(malformed_error());
}

bool is_namespace_kind(std::uint32_t kind) {
    constexpr std::uint32_t known[] = {CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,    CLONE_NEWNET,
                                       CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP, CLONE_NEWTIME};
    return std::find(std::begin(known), std::end(known), kind) != std::end(known);
}

} // namespace

Result<void> send_message(int socket, MessageType type, std::string_view body,
                          std::span<const int> fds) {
    Packer out;
    out.u32(protocol_magic);
    out.u16(protocol_version);
    out.u16(static_cast<std::uint16_t>(type));
    if (body.size() > max_message_bytes - out.data().size()) {
        return base::fail(Code::limit_exceeded,
                          fmt::format("a message of {} bytes is too long", body.size()));
    }
    auto sent = base::send_packet(socket, out.take().append(body), fds);
    if (!sent && (sent.error().sys_errno == EPIPE || sent.error().sys_errno == ECONNRESET)) {
        return lost();
    }
    return sent;
}

Result<Message> recv_message(int socket, int timeout_ms) {
    auto packet = base::recv_packet(socket, max_message_bytes, timeout_ms);
    if (!packet) {
        if (packet.error().sys_errno == ECONNRESET) {
            return lost();
        }
        if (packet.error().code == Code::limit_exceeded) {
            return malformed();
        }
        return base::Unexpected(std::move(packet).error());
    }
    if (packet->end_of_stream) {
        return lost();
    }
    Cursor in(packet->body);
    const bool ours = in.u32() == protocol_magic && in.u16() == protocol_version;
    const auto type = in.u16();
    if (!ours || !in.ok() || type < static_cast<std::uint16_t>(MessageType::unshared) ||
        type > static_cast<std::uint16_t>(MessageType::join)) {
        return malformed();
    }
    Message message;
    message.type = static_cast<MessageType>(type);
    message.body = packet->body.substr(in.position());
    message.fds = std::move(packet->fds);
    message.pid = packet->pid;
    return message;
}

std::string encode(const Error& error) {
    Packer out;
    out.text(base::code_name(error.code));
    out.u32(static_cast<std::uint32_t>(error.sys_errno));
    out.text(std::string_view(error.message).substr(0, max_error_text));
    out.text(std::string_view(error.hint).substr(0, max_error_text));
    return out.take();
}

Error decode_error(std::string_view body) {
    Cursor in(body);
    Error error;
    error.code = base::code_from_name(in.text(max_error_text));
    error.sys_errno = in.i32();
    error.message = in.text(max_error_text);
    error.hint = in.text(max_error_text);
    if (!in.ok() || !in.at_end() || error.message.empty()) {
        return malformed_error();
    }
    return error;
}

std::string encode(const ReadyBody& body) {
    Packer out;
    out.u32(static_cast<std::uint32_t>(body.namespaces.size()));
    for (const auto kind : body.namespaces) {
        out.u32(kind);
    }
    return out.take();
}

Result<ReadyBody> decode_ready(std::string_view body) {
    Cursor in(body);
    const std::size_t count = in.u32();
    if (!in.ok() || count == 0 || count > max_namespaces) {
        return malformed();
    }
    ReadyBody ready;
    for (std::size_t i = 0; i < count; ++i) {
        const auto kind = in.u32();
        if (!is_namespace_kind(kind) ||
            std::count(ready.namespaces.begin(), ready.namespaces.end(), kind) != 0) {
            return malformed();
        }
        ready.namespaces.push_back(kind);
    }
    if (!in.ok() || !in.at_end() || ready.namespaces.front() != CLONE_NEWUSER) {
        return malformed();
    }
    return ready;
}

} // namespace slipway::launcher::join
