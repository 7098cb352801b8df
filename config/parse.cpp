// SPDX-License-Identifier: Apache-2.0
// Walks a document along the schema table.
#include "base/format.hpp"
#include "base/registry_host.hpp"
#include "base/text.hpp"
#include "config/schema.hpp"
#include "config/values.hpp"

#include <algorithm>

namespace slipway::config {
namespace {

using base::in_quotes;

/// Reads a document into a Config and collects every problem on the way.
class Walker {
  public:
    Walker(std::string_view name, Config& config) : name_(name), config_(config) {}

    void root(const Node& node) {
        if (node.kind == Node::Kind::null) {
            return; // an empty file, or one with only comments
        }
        if (node.kind != Node::Kind::map) {
            report(node.line, "the file must hold sections such as 'store:'",
                   "see slipway config example");
            return;
        }
        for (const auto& member : node.members) {
            section(member);
        }
        cross_checks(node);
    }

    std::vector<base::Error> take() { return std::move(problems_); }

  private:
    void report(std::size_t line, std::string what, std::string hint) {
        problems_.push_back(problem_at(name_, line, std::move(what), std::move(hint)));
    }

    bool refused(std::string_view section, const Member& member) {
        for (const auto& refusal : refusals()) {
            if (refusal.section == section && refusal.name == member.key) {
                report(member.line,
                       in_quotes(member.key) + " is not supported: " + std::string(refusal.reason),
                       fmt::format("remove {}", in_quotes(member.key)));
                return true;
            }
        }
        return false;
    }

    void section(const Member& member) {
        if (refused("", member)) {
            return;
        }
        std::vector<std::string_view> names;
        for (const auto& known : sections()) {
            names.push_back(known.name);
        }
        if (std::find(names.begin(), names.end(), member.key) == names.end()) {
            unknown(member, "unknown section", "", names);
            return;
        }
        if (member.value.kind == Node::Kind::null) {
            return; // every key of the section is commented out
        }
        if (member.value.kind != Node::Kind::map) {
            report(member.line, in_quotes(member.key) + " must hold keys of its own",
                   "write one indented 'key: value' per line below it");
            return;
        }
        if (member.key == "registries") {
            registries(member.value);
        } else {
            settings(member.key, member.value, &config_, member.key);
        }
    }

    void registries(const Node& node) {
        for (const auto& member : node.members) {
            const auto host = registry_host(member.key);
            if (!host) {
                report(member.line, host.error().message, host.error().hint);
                continue;
            }
            const auto [entry, added] = config_.registries.try_emplace(*host);
            if (!added) {
                report(member.line,
                       fmt::format("{} is {}, which is there already", in_quotes(member.key), *host),
                       "write each registry once");
                continue;
            }
            auto& registry = entry->second;
            if (member.value.kind == Node::Kind::map) {
                settings("registries", member.value, &registry, "registries." + member.key);
                registry_checks(member, registry);
            } else if (member.value.kind != Node::Kind::null) {
                report(member.line, in_quotes(member.key) + " must hold keys of its own",
                       "write for example {insecure: true}");
            }
        }
    }

    void settings(std::string_view section, const Node& node, void* target, std::string_view path) {
        for (const auto& member : node.members) {
            if (refused(section, member)) {
                continue;
            }
            std::vector<std::string_view> names;
            const Key* found = nullptr;
            for (const auto& key : keys()) {
                if (key.section == section) {
                    names.push_back(key.name);
                    found = key.name == member.key ? &key : found;
                }
            }
            if (found == nullptr) {
                unknown(member, "unknown key", path, names);
            } else if (auto set = found->set(target, member.value); !set) {
                const auto line = member.value.line == 0 ? member.line : member.value.line;
                report(line, fmt::format("{}.{}: {}", path, member.key, set.error().message),
                       std::move(set.error().hint));
            }
        }
    }

    void unknown(const Member& member, std::string_view what, std::string_view where,
                 const std::vector<std::string_view>& names) {
        const auto near = base::did_you_mean(member.key, names);
        std::string hint;
        if (!near.empty()) {
            hint = fmt::format("did you mean '{}'?", near);
        } else {
            for (const auto name : names) {
                hint += (hint.empty() ? "known are " : ", ") + std::string(name);
            }
        }
        report(member.line,
               fmt::format("{} {}{}{}", what, in_quotes(member.key), where.empty() ? "" : " in ",
                           where),
               std::move(hint));
    }

    void registry_checks(const Member& member, const RegistryConfig& registry) {
        const auto path = "registries." + member.key;
        if (registry.username.empty() != registry.password_file.empty()) {
            report(member.line, path + ": username and password_file belong together",
                   "give both or none");
        }
        if (registry.insecure && !registry.ca_file.empty()) {
            report(member.line, path + ": ca_file has no meaning with insecure: true",
                   "remove insecure to use HTTPS");
        }
    }

    void cross_checks(const Node& root) {
        const auto& compressor = squashfs::facts_of(config_.convert.compression);
        const auto level = static_cast<int>(config_.convert.level);
        if (level != 0 && !compressor.has_level(level)) {
            report(line_of(root, "convert"), "convert.level: " + squashfs::levels_text(compressor),
                   fmt::format("write a level from {} to {}, or auto", compressor.lowest_level,
                               compressor.highest_level));
        }
    }

    static std::size_t line_of(const Node& root, std::string_view section) {
        for (const auto& member : root.members) {
            if (member.key == section) {
                return member.line;
            }
        }
        return root.line;
    }

    std::string_view name_;
    Config& config_;
    std::vector<base::Error> problems_;
};

} // namespace

base::Result<Config> parse(std::string_view text, std::string_view name) {
    TRY_ASSIGN(const auto document, read_document(text, name));
    Config config;
    Walker walker(name, config);
    walker.root(document);
    auto found = walker.take();
    if (!found.empty()) {
        return tl::unexpected<base::Error>(std::move(found.front()));
    }
    config.source = name;
    config.raw = text;
    return config;
}

std::vector<base::Error> problems(std::string_view text, std::string_view name) {
    auto document = read_document(text, name);
    if (!document) {
        return {std::move(document.error())};
    }
    Config config;
    Walker walker(name, config);
    walker.root(*document);
    return walker.take();
}

const RegistryConfig& registry(const Config& config, std::string_view host) {
    static const RegistryConfig defaults;
    const auto canonical = base::canonical_registry_host(host);
    const auto found = config.registries.find(canonical.value_or(std::string(host)));
    return found == config.registries.end() ? defaults : found->second;
}

} // namespace slipway::config
