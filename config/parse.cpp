// SPDX-License-Identifier: Apache-2.0
// Walks a document along a schema table.
#include "base/format.hpp"
#include "base/registry_host.hpp"
#include "base/text.hpp"
#include "config/schema.hpp"

#include <algorithm>
#include <set>

namespace slipway::config {
namespace {

using base::in_quotes;

/// Reads a document into a struct and collects every problem on the way.
class Walker {
  public:
    explicit Walker(std::string_view name) : name_(name) {}

    void read(const Record& record, const Node& node, void* target, const std::string& path) {
        const auto problems_before = problems_.size();
        for (const auto& item : node.items) {
            const auto* field = find(record, item, path);
            if (field == nullptr) {
                continue;
            }
            const auto below = path.empty() ? item.key : path + "." + item.key;
            if (field->shape != Field::Shape::value) {
                nested(*field, item, target, below);
            } else if (auto set = field->set(target, item); !set) {
                report(item.line, below + ": " + set.error().message, set.error().hint);
            }
        }
        if (record.conflicts == nullptr || problems_.size() != problems_before) {
            return;
        }
        for (const auto& conflict : record.conflicts(target)) {
            const auto at = std::find_if(node.items.begin(), node.items.end(),
                                         [&](const Node& n) { return n.key == conflict.key; });
            report(at == node.items.end() ? node.line : at->line,
                   fmt::format("{}{}{}: {}", path, conflict.key.empty() ? "" : ".", conflict.key,
                               conflict.what),
                   conflict.hint);
        }
    }

    std::vector<base::Error> take() { return std::move(problems_); }

  private:
    void report(std::size_t line, std::string what, std::string hint) {
        problems_.push_back(problem_at(name_, line, std::move(what), std::move(hint)));
    }

    /// The field that a key names; a key that is not known or not supported is reported.
    const Field* find(const Record& record, const Node& item, const std::string& path) {
        const auto key = in_quotes(item.key);
        for (const auto& refusal : record.refusals) {
            if (refusal.name == item.key) {
                report(item.key_line, fmt::format("{} is not supported: {}", key, refusal.reason),
                       "remove " + key);
                return nullptr;
            }
        }
        std::vector<std::string_view> names;
        for (const auto& field : record.fields) {
            if (field.name == item.key) {
                return &field;
            }
            names.push_back(field.name);
        }
        const auto near = base::did_you_mean(item.key, names);
        report(item.key_line,
               path.empty() ? "unknown section " + key : "unknown key " + key + " in " + path,
               near.empty() ? "known are " + base::joined(names, ", ")
                            : fmt::format("did you mean '{}'?", near));
        return nullptr;
    }

    /// The records below a key; without a value every key of them is commented out.
    void nested(const Field& field, const Node& node, void* target, const std::string& path) {
        const bool is_list = field.shape == Field::Shape::list;
        if (node.kind == Node::Kind::null) {
            return;
        }
        if (is_list && node.kind != Node::Kind::list) {
            report(node.line, path + ": is not a list", "write one '- ' per entry below it");
        } else if (!is_list && node.kind != Node::Kind::map) {
            report(node.key_line, in_quotes(node.key) + " must hold keys of its own",
                   "write one indented 'key: value' per line below it");
        } else if (field.shape == Field::Shape::one) {
            read(*field.records, node, field.add(target, {}), path);
        } else {
            entries(field, node, target, path);
        }
    }

    void entries(const Field& field, const Node& node, void* target, const std::string& path) {
        std::set<std::string> names;
        for (const auto& item : node.items) {
            const bool is_map = field.shape == Field::Shape::map;
            const auto where = is_map ? path + "." + item.key
                                      : fmt::format("{}[{}]", path, &item - node.items.data() + 1);
            const auto name = is_map ? field.read_name(item.key) : std::string();
            if (!name) {
                report(item.key_line, name.error().message, name.error().hint);
            } else if (is_map && !names.insert(*name).second) {
                report(item.key_line,
                       fmt::format("{} is {}, which is there already", in_quotes(item.key), *name),
                       "write each one once");
            } else if (item.kind == Node::Kind::map || (is_map && item.kind == Node::Kind::null)) {
                read(*field.records, item, field.add(target, *name), where);
            } else {
                const auto& first = field.records->fields.front();
                report(item.line, where + ": must hold keys of its own",
                       fmt::format("write for example {{{}: {}}}", first.name, first.example));
            }
        }
    }

    std::string_view name_;
    std::vector<base::Error> problems_;
};

} // namespace

std::vector<base::Error> read_record(const Record& record, const Node& document,
                                     std::string_view name, void* target) {
    if (document.kind == Node::Kind::null) {
        return {}; // an empty file, or one with only comments
    }
    if (document.kind != Node::Kind::map) {
        return {problem_at(
            name, document.line,
            fmt::format("the file must hold sections such as '{}:'", record.fields.front().name),
            "see slipway config example")};
    }
    Walker walker(name);
    walker.read(record, document, target, {});
    return walker.take();
}

namespace {

std::vector<base::Error> read_site(std::string_view text, std::string_view name, Config& config) {
    const auto document = read_document(text, name);
    return document ? read_record(site_record(), *document, name, &config)
                    : std::vector{document.error()};
}

} // namespace

base::Result<Config> parse(std::string_view text, std::string_view name) {
    Config config;
    auto found = read_site(text, name, config);
    if (!found.empty()) {
        return base::Unexpected(std::move(found.front()));
    }
    config.source = name;
    config.raw = text;
    return config;
}

std::vector<base::Error> problems(std::string_view text, std::string_view name) {
    Config ignored;
    return read_site(text, name, ignored);
}

const RegistryConfig& registry(const Config& config, std::string_view host) {
    static const RegistryConfig defaults;
    const auto canonical = base::canonical_registry_host(host);
    const auto found = config.registries.find(canonical.value_or(std::string(host)));
    return found == config.registries.end() ? defaults : found->second;
}

} // namespace slipway::config
