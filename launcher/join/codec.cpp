// SPDX-License-Identifier: Apache-2.0
#include "base/cursor.hpp"
#include "base/format.hpp"
#include "launcher/join/request.hpp"

namespace slipway::launcher {
namespace {

using base::Code;
using base::Cursor;
using base::Packer;
using base::Result;

constexpr std::uint32_t request_magic = 0x51525753; // "SWRQ"
constexpr std::uint32_t record_magic = 0x524a5753;  // "SWJR"
constexpr std::uint16_t codec_version = 1;

/// Longest single string: Linux lets no environment entry or argument be longer (MAX_ARG_STRLEN).
constexpr std::size_t max_text = 128U << 10U;

/// Strings become paths and environment entries of system calls, where a NUL would cut them short
/// after they have been checked.
std::string read_text(Cursor& in) {
    const auto text = in.text(max_text);
    if (text.find('\0') != std::string_view::npos) {
        in.fail();
    }
    return std::string(text);
}

bool read_bool(Cursor& in) {
    const auto value = in.u8();
    if (value > 1) {
        in.fail();
    }
    return value == 1;
}

template <typename Enum>
Enum read_enum(Cursor& in, Enum last) {
    const auto value = in.u8();
    if (value > static_cast<std::uint8_t>(last)) {
        in.fail();
        return Enum{};
    }
    return static_cast<Enum>(value);
}

/// A count and that many elements. Every element takes at least a byte, so a hostile count ends at
/// the end of the input and reserves nothing.
template <typename Element, typename Read>
std::vector<Element> read_list(Cursor& in, Read read) {
    std::vector<Element> list;
    for (std::uint32_t left = in.u32(); left > 0 && in.ok(); --left) {
        list.push_back(read(in));
    }
    return list;
}

void write_list(Packer& out, const std::vector<std::string>& list) {
    out.u32(static_cast<std::uint32_t>(list.size()));
    for (const auto& text : list) {
        out.text(text);
    }
}

void write_header(Packer& out, std::uint32_t magic) {
    out.u32(magic);
    out.u16(codec_version);
}

void read_header(Cursor& in, std::uint32_t magic) {
    if (in.u32() != magic || in.u16() != codec_version) {
        in.fail();
    }
}

Result<void> finished(const Cursor& in, std::string_view what) {
    if (!in.ok() || !in.at_end()) {
        return base::fail(Code::launcher_failed,
                          fmt::format("the {} is damaged or of another version", what),
                          "install plugin and launcher from the same release");
    }
    return {};
}

void write_mounts(Packer& out, const std::vector<MountRequest>& mounts) {
    out.u32(static_cast<std::uint32_t>(mounts.size()));
    for (const auto& mount : mounts) {
        out.u8(static_cast<std::uint8_t>(mount.syntax));
        out.text(mount.text);
    }
}

MountRequest read_mount(Cursor& in) {
    MountRequest mount;
    mount.syntax = read_enum(in, MountSyntax::mount_csv);
    mount.text = read_text(in);
    return mount;
}

std::pair<std::string, std::string> read_pair(Cursor& in) {
    std::string name = read_text(in);
    return {std::move(name), read_text(in)};
}

EnvironmentChange read_change(Cursor& in) {
    EnvironmentChange change;
    change.name = read_text(in);
    if (read_bool(in)) {
        change.value = read_text(in);
    }
    if (change.name.empty() || change.name.find('=') != std::string::npos) {
        in.fail();
    }
    return change;
}

} // namespace

std::string encode(const Request& request) {
    Packer out;
    write_header(out, request_magic);
    out.text(request.image);
    out.text(request.reference);
    write_mounts(out, request.mounts);
    write_list(out, request.scratch);
    write_list(out, request.no_mount);
    out.text(request.workdir);
    out.text(request.cwd);
    out.text(request.home);
    out.u8(static_cast<std::uint8_t>(request.mount_home));
    out.u8(static_cast<std::uint8_t>(request.writable));
    out.u8(static_cast<std::uint8_t>(request.containment));
    out.u8(request.clean_environment ? 1 : 0);
    out.u8(request.shell_evaluation ? 1 : 0);
    write_list(out, request.keep_environment);
    out.u32(static_cast<std::uint32_t>(request.set_environment.size()));
    for (const auto& [name, value] : request.set_environment) {
        out.text(name);
        out.text(value);
    }
    write_list(out, request.environment);
    write_list(out, request.required_files);
    out.text(request.hostname_text);
    out.u32(request.job_id);
    out.u32(request.step_id);
    return out.take();
}

Result<Request> decode_request(std::string_view bytes) {
    if (bytes.size() > max_request_bytes) {
        return base::fail(Code::limit_exceeded, "the request to the launcher is too long",
                          "make the job's environment smaller");
    }
    Cursor in(bytes);
    read_header(in, request_magic);
    Request request;
    request.image = read_text(in);
    request.reference = read_text(in);
    request.mounts = read_list<MountRequest>(in, read_mount);
    request.scratch = read_list<std::string>(in, read_text);
    request.no_mount = read_list<std::string>(in, read_text);
    request.workdir = read_text(in);
    request.cwd = read_text(in);
    request.home = read_text(in);
    request.mount_home = read_enum(in, Switch::on);
    request.writable = read_enum(in, Switch::on);
    request.containment = read_enum(in, Containment::contain_all);
    request.clean_environment = read_bool(in);
    request.shell_evaluation = read_bool(in);
    request.keep_environment = read_list<std::string>(in, read_text);
    request.set_environment = read_list<std::pair<std::string, std::string>>(in, read_pair);
    request.environment = read_list<std::string>(in, read_text);
    request.required_files = read_list<std::string>(in, read_text);
    request.hostname_text = read_text(in);
    request.job_id = in.u32();
    request.step_id = in.u32();
    TRY(finished(in, "request to the launcher"));
    return request;
}

std::string encode(const JoinRecord& record) {
    Packer out;
    write_header(out, record_magic);
    out.u32(static_cast<std::uint32_t>(record.environment.size()));
    for (const auto& change : record.environment) {
        out.text(change.name);
        out.u8(change.value ? 1 : 0);
        if (change.value) {
            out.text(*change.value);
        }
    }
    out.text(record.cwd);
    out.u8(record.cwd_was_asked_for ? 1 : 0);
    out.text(record.image_name);
    return out.take();
}

Result<JoinRecord> decode_join_record(std::string_view bytes) {
    Cursor in(bytes);
    read_header(in, record_magic);
    JoinRecord record;
    record.environment = read_list<EnvironmentChange>(in, read_change);
    record.cwd = read_text(in);
    record.cwd_was_asked_for = read_bool(in);
    record.image_name = read_text(in);
    TRY(finished(in, "answer of the launcher"));
    return record;
}

} // namespace slipway::launcher
