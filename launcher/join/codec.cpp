// SPDX-License-Identifier: Apache-2.0
// The bytes of a Request and of a JoinRecord. Each struct is listed once, in fields_of(); writing
// and reading follow from that list, and a member that is missing there does not compile.
#include "base/cursor.hpp"
#include "base/format.hpp"
#include "base/words.hpp"
#include "launcher/join/request.hpp"

#include <tuple>
#include <type_traits>

namespace slipway::launcher::join {
namespace {

using base::Code;
using base::Cursor;
using base::Packer;
using base::Result;

constexpr std::uint32_t request_magic = 0x51525753; // "SWRQ"
constexpr std::uint32_t record_magic = 0x524a5753;  // "SWJR"
constexpr std::uint16_t codec_version = 7;

/// Longest single string: Linux lets no environment entry or argument be longer (MAX_ARG_STRLEN).
constexpr std::size_t max_text = 128U << 10U;

// ---- the lists: T is the struct, constant or not ---------------------------------------------

template <typename T, typename Struct>
concept Either = std::same_as<std::remove_const_t<T>, Struct>;

template <Either<Request> T>
auto fields_of(T& request) noexcept {
    auto& [image, image_id, image_store, reference, mounts, scratch, no_mount, workdir, cwd, home, mount_home,
           writable, write_image, overlays, containment, namespaces, fake_root, nv, rocm, dns, work_area,
           clean_environment, shell_evaluation, keep_environment, set_environment, environment,
           required_files, hostname_text, job_id, step_id] = request;
    return std::tie(image, image_id, image_store, reference, mounts, scratch, no_mount, workdir, cwd, home,
                    mount_home, writable, write_image, overlays, containment, namespaces, fake_root,
                    nv, rocm, dns, work_area, clean_environment, shell_evaluation, keep_environment,
                    set_environment, environment, required_files, hostname_text, job_id, step_id);
}

template <Either<Namespaces> T>
auto fields_of(T& namespaces) noexcept {
    auto& [pid, init, ipc, network, uts, hostname] = namespaces;
    return std::tie(pid, init, ipc, network, uts, hostname);
}

template <Either<MountRequest> T>
auto fields_of(T& mount) noexcept {
    auto& [syntax, text] = mount;
    return std::tie(syntax, text);
}

template <Either<OverlayRequest> T>
auto fields_of(T& overlay) noexcept {
    auto& [path, readonly] = overlay;
    return std::tie(path, readonly);
}

template <Either<EnvironmentChange> T>
auto fields_of(T& change) noexcept {
    auto& [name, value] = change;
    return std::tie(name, value);
}

template <Either<JoinRecord> T>
auto fields_of(T& record) noexcept {
    auto& [environment, cwd, cwd_was_asked_for, image_name] = record;
    return std::tie(environment, cwd, cwd_was_asked_for, image_name);
}

template <typename Enum>
constexpr Enum last_of = Enum{};
template <>
constexpr MountSyntax last_of<MountSyntax> = MountSyntax::mount_csv;
template <>
constexpr Switch last_of<Switch> = Switch::on;
template <>
constexpr Containment last_of<Containment> = Containment::contain_all;

template <typename T>
constexpr bool is_list = false;
template <typename Element>
constexpr bool is_list<std::vector<Element>> = true;

template <typename T>
constexpr bool is_optional = false;
template <typename Value>
constexpr bool is_optional<std::optional<Value>> = true;

template <typename T>
constexpr bool is_pair = false;
template <typename First, typename Second>
constexpr bool is_pair<std::pair<First, Second>> = true;

// ---- writing ----------------------------------------------------------------------------------

template <typename T>
void write(Packer& out, const T& value) {
    if constexpr (std::is_same_v<T, std::string>) {
        out.text(value);
    } else if constexpr (std::is_same_v<T, std::uint32_t>) {
        out.u32(value);
    } else if constexpr (std::is_same_v<T, bool> || std::is_enum_v<T>) {
        out.u8(static_cast<std::uint8_t>(value));
    } else if constexpr (is_list<T>) {
        out.u32(static_cast<std::uint32_t>(value.size()));
        for (const auto& element : value) {
            write(out, element);
        }
    } else if constexpr (is_optional<T>) {
        write(out, value.has_value());
        if (value) {
            write(out, *value);
        }
    } else if constexpr (is_pair<T>) {
        write(out, value.first);
        write(out, value.second);
    } else {
        std::apply([&](const auto&... field) { (write(out, field), ...); }, fields_of(value));
    }
}

template <typename T>
std::string encode_as(std::uint32_t magic, const T& value) {
    Packer out;
    out.u32(magic);
    out.u16(codec_version);
    write(out, value);
    return out.take();
}

// ---- reading: whatever is wrong makes the cursor fail -------------------------------------------

/// What a value must keep to besides its type.
template <typename T>
bool is_sound(const T& value) {
    if constexpr (std::is_same_v<T, std::string>) {
        // Strings become paths and environment entries of system calls, where a NUL would cut them
        // short after they have been checked.
        return value.find('\0') == std::string::npos;
    } else if constexpr (std::is_same_v<T, EnvironmentChange>) {
        return !value.name.empty() && value.name.find('=') == std::string::npos;
    } else if constexpr (std::is_same_v<T, Request>) {
        return value.image_id.empty()
                   ? value.image_store.empty()
                   : value.image.empty() && is_image_id(value.image_id) &&
                         (value.image_store.empty() || value.image_store.starts_with('/'));
    } else {
        return true;
    }
}

/// For bool and enumerations: no value beyond the last one.
template <typename T>
T read_small(Cursor& in, T last) {
    const auto value = in.u8();
    if (value > static_cast<std::uint8_t>(last)) {
        in.fail();
        return T{};
    }
    return static_cast<T>(value);
}

template <typename T>
void read(Cursor& in, T& value) {
    if constexpr (std::is_same_v<T, std::string>) {
        value = in.text(max_text);
    } else if constexpr (std::is_same_v<T, std::uint32_t>) {
        value = in.u32();
    } else if constexpr (std::is_same_v<T, bool>) {
        value = read_small(in, true);
    } else if constexpr (std::is_enum_v<T>) {
        value = read_small(in, last_of<T>);
    } else if constexpr (is_list<T>) {
        // Every element takes at least a byte, so a hostile count ends at the end of the input and
        // reserves nothing.
        for (std::uint32_t left = in.u32(); left > 0 && in.ok(); --left) {
            read(in, value.emplace_back());
        }
    } else if constexpr (is_optional<T>) {
        if (read_small(in, true)) {
            read(in, value.emplace());
        }
    } else if constexpr (is_pair<T>) {
        read(in, value.first);
        read(in, value.second);
    } else {
        std::apply([&](auto&... field) { (read(in, field), ...); }, fields_of(value));
    }
    if (!is_sound(value)) {
        in.fail();
    }
}

template <typename T>
Result<T> decode_as(std::string_view bytes, std::uint32_t magic, std::string_view what) {
    Cursor in(bytes);
    T value;
    if (in.u32() == magic && in.u16() == codec_version) {
        read(in, value);
    } else {
        in.fail();
    }
    if (!in.ok() || !in.at_end()) {
        return base::fail(Code::launcher_failed,
                          fmt::format("the {} is damaged or of another version", what),
                          "install plugin and launcher from the same release");
    }
    return value;
}

} // namespace

bool is_image_id(std::string_view text) noexcept {
    constexpr std::size_t id_digits = 64;
    return text.size() == id_digits && base::is_lower_hex(text);
}

std::string encode(const Request& request) {
    return encode_as(request_magic, request);
}

Result<Request> decode_request(std::string_view bytes) {
    if (bytes.size() > max_request_bytes) {
        return base::fail(Code::limit_exceeded, "the request to the launcher is too long",
                          "make the job's environment smaller");
    }
    return decode_as<Request>(bytes, request_magic, "request to the launcher");
}

std::string encode(const JoinRecord& record) {
    return encode_as(record_magic, record);
}

Result<JoinRecord> decode_join_record(std::string_view bytes) {
    return decode_as<JoinRecord>(bytes, record_magic, "answer of the launcher");
}

} // namespace slipway::launcher::join
