// SPDX-License-Identifier: Apache-2.0
#include "launcher/plan.hpp"

#include "base/format.hpp"
#include "base/text.hpp"

namespace slipway::launcher {
namespace {

using base::in_quotes;

std::string_view entry_name(EntryKind kind) noexcept {
    switch (kind) {
    case EntryKind::directory:
        return "directory";
    case EntryKind::file:
        return "file";
    case EntryKind::symlink:
        return "symlink";
    case EntryKind::missing:
        break;
    }
    return "missing";
}

std::string flags_of(const Operation& operation) {
    std::string flags = operation.readonly ? "ro,nosuid" : "rw,nosuid";
    flags += operation.nodev ? ",nodev" : "";
    flags += operation.noexec ? ",noexec" : "";
    flags += operation.private_propagation ? ",private" : "";
    return flags;
}

std::string_view create_name(Create create) noexcept {
    switch (create) {
    case Create::directory:
        return "directory";
    case Create::file:
        return "file";
    case Create::nothing:
        break;
    }
    return "nothing";
}

/// A JSON string. The inputs are paths and file texts: any byte can be in them, and what is no
/// UTF-8 is shown as \xNN, as everywhere else.
std::string quoted(std::string_view text) {
    std::string out = "\"";
    std::size_t start = 0;
    const auto flush = [&](std::size_t end) {
        for (const char c : base::printable(text.substr(start, end - start))) {
            if (c == '"' || c == '\\') {
                out += '\\';
            }
            out += c;
        }
        start = end + 1;
    };
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\n') {
            flush(i);
            out += "\\n";
        } else if (text[i] == '\t') {
            flush(i);
            out += "\\t";
        }
    }
    flush(text.size());
    return out + "\"";
}

template <typename List, typename Render>
std::string array(const List& list, Render render) {
    std::string out = "[";
    bool first = true;
    for (const auto& item : list) {
        out += first ? "" : ", ";
        out += render(item);
        first = false;
    }
    return out + "]";
}

/// What is no mount of its own has none.
bool has_flags(const Operation& operation) noexcept {
    return operation.kind != Operation::Kind::symlink && operation.kind != Operation::Kind::write;
}

std::string size_of(std::uint64_t bytes) {
    return bytes == 0 ? "half of memory" : base::size_text(bytes);
}

std::string operation_text(const Operation& operation) {
    auto line = fmt::format("{:7} {}", kind_name(operation.kind), in_quotes(operation.target));
    switch (operation.kind) {
    case Operation::Kind::bind:
        line += fmt::format(" from {}", in_quotes(operation.source));
        break;
    case Operation::Kind::symlink:
        line += fmt::format(" to {}", in_quotes(operation.source));
        break;
    case Operation::Kind::tmpfs:
        line += fmt::format(" size={} mode={:o}",
                            operation.size == 0 ? "auto" : base::size_text(operation.size),
                            operation.mode);
        break;
    case Operation::Kind::file:
        line += fmt::format(" {} bytes", operation.content.size());
        break;
    case Operation::Kind::write:
        line += operation.source.empty() ? fmt::format(" {} bytes", operation.content.size())
                                         : fmt::format(" from {}", in_quotes(operation.source));
        break;
    case Operation::Kind::devpts:
        break;
    }
    if (has_flags(operation)) {
        line += " " + flags_of(operation);
    }
    return line + fmt::format(" ({})\n", origin_name(operation.origin));
}

std::string operation_json(const Operation& operation) {
    auto out = fmt::format("{{\"kind\": {}, \"target\": {}, \"origin\": {}",
                           quoted(kind_name(operation.kind)), quoted(operation.target),
                           quoted(origin_name(operation.origin)));
    if (!operation.source.empty()) {
        out += fmt::format(", \"source\": {}", quoted(operation.source));
    }
    if (has_flags(operation)) {
        out += fmt::format(", \"flags\": {}", quoted(flags_of(operation)));
    }
    if (operation.create != Create::nothing) {
        out += fmt::format(", \"create\": {}", quoted(create_name(operation.create)));
    }
    if (operation.kind == Operation::Kind::tmpfs) {
        out += fmt::format(", \"size\": {}, \"mode\": \"{:o}\"", operation.size, operation.mode);
    }
    if (!operation.content.empty()) {
        out += fmt::format(", \"content\": {}", quoted(operation.content));
    }
    return out + "}";
}

std::string underlay_json(const Underlay& layer) {
    return fmt::format(
        "{{\"target\": {}, \"method\": {}, \"make\": {}, \"keep\": {}}}", quoted(layer.target),
        quoted(layer.method == Underlay::Method::rebuilt ? "rebuilt" : "layered"),
        array(layer.make,
              [](const auto& item) {
                  return fmt::format("{{\"path\": {}, \"kind\": {}}}", quoted(item.first),
                                     quoted(entry_name(item.second)));
              }),
        array(layer.keep, [](const auto& item) { return quoted(item.first); }));
}

} // namespace

std::string_view origin_name(Origin origin) noexcept {
    switch (origin) {
    case Origin::site:
        return "site";
    case Origin::user:
        return "user";
    case Origin::system:
        break;
    }
    return "system";
}

std::string_view kind_name(Operation::Kind kind) noexcept {
    switch (kind) {
    case Operation::Kind::tmpfs:
        return "tmpfs";
    case Operation::Kind::devpts:
        return "devpts";
    case Operation::Kind::file:
        return "file";
    case Operation::Kind::write:
        return "write";
    case Operation::Kind::symlink:
        return "symlink";
    case Operation::Kind::bind:
        break;
    }
    return "bind";
}

std::string plan_text(const Plan& plan) {
    std::string out = plan.writable ? fmt::format("root    writable, changes in memory, {}\n",
                                                  size_of(plan.writable_size))
                                    : std::string("root    ro,nosuid,nodev\n");
    for (const auto& layer : plan.underlays) {
        for (const auto& [path, kind] : layer.make) {
            out += fmt::format("make    {} {} in {} ({})\n", entry_name(kind), in_quotes(path),
                               in_quotes(layer.target),
                               layer.method == Underlay::Method::rebuilt ? "rebuilt" : "layered");
        }
    }
    for (const auto& operation : plan.operations) {
        out += operation_text(operation);
    }
    out += fmt::format("cwd     {}{}\n", in_quotes(plan.cwd), plan.cwd_asked_for ? " (user)" : "");
    out += fmt::format("home    {}\n", in_quotes(plan.home));
    return out;
}

std::string plan_json(const Plan& plan) {
    return fmt::format("{{\"writable\": {}, \"writable_size\": {},\n \"underlays\": {},\n "
                       "\"operations\": {},\n \"cwd\": {}, \"cwd_asked_for\": {}, \"home\": {},\n "
                       "\"warnings\": {}}}\n",
                       plan.writable, plan.writable ? plan.writable_size : 0,
                       array(plan.underlays, underlay_json), array(plan.operations, operation_json),
                       quoted(plan.cwd), plan.cwd_asked_for, quoted(plan.home),
                       array(plan.warnings, quoted));
}

} // namespace slipway::launcher
