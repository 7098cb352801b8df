// SPDX-License-Identifier: Apache-2.0
#include "launcher/plan.hpp"

#include "base/format.hpp"
#include "base/json.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "base/utf8.hpp"

namespace slipway::launcher {
namespace {

using base::in_quotes;
using base::json::OrderedValue;

std::string flags_of(const Operation& operation) {
    std::string flags = operation.readonly ? "ro,nosuid" : "rw,nosuid";
    flags += operation.nodev ? ",nodev" : "";
    flags += operation.noexec ? ",noexec" : "";
    flags += operation.private_propagation ? ",private" : "";
    return flags;
}

/// JSON has no bytes that are no UTF-8: texts with such are shown as everywhere else, with \xNN.
std::string text_of(std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
        const auto length = base::utf8_length(text.substr(at));
        if (length == 0) {
            return base::printable(text);
        }
        at += length;
    }
    return std::string(text);
}

template <typename List, typename Render>
OrderedValue array_of(const List& list, Render render) {
    auto out = OrderedValue::array();
    for (const auto& item : list) {
        out.push_back(render(item));
    }
    return out;
}

/// What is no mount of its own has none.
bool has_flags(const Operation& operation) noexcept {
    return operation.kind != Operation::Kind::symlink && operation.kind != Operation::Kind::write;
}

std::string size_of(std::uint64_t bytes) {
    return bytes == 0 ? "half of memory" : base::size_text(bytes);
}

std::string operation_text(const Operation& operation) {
    auto line =
        fmt::format("{:7} {}", operation_kinds.name(operation.kind), in_quotes(operation.target));
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
    case Operation::Kind::proc:
    case Operation::Kind::sysfs:
    case Operation::Kind::mqueue:
        break;
    }
    if (has_flags(operation)) {
        line += " " + flags_of(operation);
    }
    return line + fmt::format(" ({})\n", origins.name(operation.origin));
}

OrderedValue operation_json(const Operation& operation) {
    OrderedValue out{{"kind", operation_kinds.name(operation.kind)},
                     {"target", text_of(operation.target)},
                     {"origin", origins.name(operation.origin)}};
    if (!operation.source.empty()) {
        out["source"] = text_of(operation.source);
    }
    if (has_flags(operation)) {
        out["flags"] = flags_of(operation);
    }
    if (operation.create != Create::nothing) {
        out["create"] = creations.name(operation.create);
    }
    if (operation.kind == Operation::Kind::tmpfs) {
        out["size"] = operation.size;
        out["mode"] = fmt::format("{:o}", operation.mode);
    }
    if (!operation.content.empty()) {
        out["content"] = text_of(operation.content);
    }
    return out;
}

OrderedValue underlay_json(const Underlay& layer) {
    return {{"target", text_of(layer.target)},
            {"method", underlay_methods.name(layer.method)},
            {"make", array_of(layer.make,
                              [](const auto& item) {
                                  return OrderedValue{{"path", text_of(item.first)},
                                                      {"kind", entry_kinds.name(item.second)}};
                              })},
            {"keep", array_of(layer.keep, [](const auto& item) { return text_of(item.first); })}};
}

OrderedValue root_json(const ImageRoot& root) {
    return {{"path", text_of(root.path)},
            {"directory", root.directory},
            {"overlay", root.overlay},
            {"writable", root.writable}};
}

std::string name_of(const std::pair<const std::string, std::string>& variable) {
    return text_of(variable.first);
}

/// Names alone where the values are the user's: they may be secrets.
OrderedValue environment_json(const EnvironmentPlan& environment) {
    auto site = OrderedValue::object();
    for (const auto& [name, value] : environment.site) {
        site[text_of(name)] = text_of(value);
    }
    return {{"host", array_of(environment.host, name_of)},
            {"library_directories", array_of(environment.library_directories, text_of)},
            {"site", std::move(site)},
            {"user", array_of(environment.user,
                              [](const auto& variable) { return text_of(variable.first); })}};
}

/// Every container has the first two.
std::vector<std::string> names_of(const join::Namespaces& namespaces) {
    std::vector<std::string> names{"user", "mount"};
    for (const auto& [there, name] :
         {std::pair{namespaces.pid, "pid"}, std::pair{namespaces.ipc, "ipc"},
          std::pair{namespaces.network, "network"}, std::pair{namespaces.uts, "uts"}}) {
        if (there) {
            names.emplace_back(name);
        }
    }
    return names;
}

bool has_init(const join::Namespaces& namespaces) noexcept {
    return namespaces.pid && namespaces.init;
}

std::string changes_text(const Plan& plan) {
    switch (plan.changes) {
    case Changes::none:
        return "ro,nosuid,nodev";
    case Changes::memory:
        return fmt::format("writable, changes in memory, {}", size_of(plan.writable_size));
    case Changes::overlay:
        return fmt::format("writable, changes in {}",
                           in_quotes(base::join_path(plan.roots.back().path, "upper")));
    case Changes::image:
        return "writable, changes in the image itself";
    }
    return {};
}

OrderedValue plan_object(const Plan& plan) {
    return {{"roots", array_of(plan.roots, root_json)},
            {"writable", plan.changes != Changes::none},
            {"changes", changes_names.name(plan.changes)},
            {"writable_size", plan.changes == Changes::memory ? plan.writable_size : 0},
            {"namespaces", array_of(names_of(plan.namespaces), text_of)},
            {"init", has_init(plan.namespaces)},
            {"hostname", text_of(plan.namespaces.hostname)},
            {"underlays", array_of(plan.underlays, underlay_json)},
            {"operations", array_of(plan.operations, operation_json)},
            {"cwd", text_of(plan.cwd)},
            {"cwd_asked_for", plan.cwd_asked_for},
            {"home", text_of(plan.home)},
            {"environment", environment_json(plan.environment)},
            {"warnings", array_of(plan.warnings, text_of)}};
}

} // namespace

std::string plan_text(const Plan& plan) {
    std::string out;
    for (const auto& root : plan.roots) {
        out += fmt::format("{} {}{}{}\n", root.overlay ? "overlay" : "image  ",
                           in_quotes(root.path), root.directory ? " directory" : "",
                           root.overlay && !root.writable ? " ro" : "");
    }
    out += fmt::format("root    {}\n", changes_text(plan));
    out += fmt::format("spaces  {}{}{}\n", base::joined(names_of(plan.namespaces), " "),
                       has_init(plan.namespaces) ? ", with init" : "",
                       plan.namespaces.hostname.empty()
                           ? ""
                           : ", hostname " + in_quotes(plan.namespaces.hostname));
    for (const auto& layer : plan.underlays) {
        for (const auto& [path, kind] : layer.make) {
            out +=
                fmt::format("make    {} {} in {} ({})\n", entry_kinds.name(kind), in_quotes(path),
                            in_quotes(layer.target), underlay_methods.name(layer.method));
        }
    }
    for (const auto& operation : plan.operations) {
        out += operation_text(operation);
    }
    for (const auto& [name, value] : plan.environment.site) {
        out += fmt::format("env     {}={} (site)\n", base::printable(name), in_quotes(value));
    }
    for (const auto& [name, value] : plan.environment.user) {
        out += fmt::format("env     {} (user)\n", base::printable(name));
    }
    for (const auto& directory : plan.environment.library_directories) {
        out += fmt::format("env     LD_LIBRARY_PATH with {}\n", in_quotes(directory));
    }
    out += fmt::format("cwd     {}{}\n", in_quotes(plan.cwd), plan.cwd_asked_for ? " (user)" : "");
    out += fmt::format("home    {}\n", in_quotes(plan.home));
    return out;
}

std::string plan_json(const Plan& plan, std::span<const std::string> command) {
    return base::json::compact(
        OrderedValue{{"command", array_of(command, text_of)}, {"plan", plan_object(plan)}});
}

} // namespace slipway::launcher
