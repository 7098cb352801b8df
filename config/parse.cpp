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
        for (const auto& member : node.members) {
            const auto* field = find(record, member, path);
            if (field == nullptr) {
                continue;
            }
            const auto below = path.empty() ? member.key : path + "." + member.key;
            if (field->shape != Field::Shape::value) {
                nested(*field, member, target, below);
            } else if (auto set = field->set(target, member.value); !set) {
                report(line_of(member), fmt::format("{}: {}", below, set.error().message),
                       std::move(set.error().hint));
            }
        }
        if (record.conflicts != nullptr && problems_.size() == problems_before) {
            for (auto& conflict : record.conflicts(target)) {
                const auto at =
                    std::find_if(node.members.begin(), node.members.end(),
                                 [&](const Member& m) { return m.key == conflict.key; });
                report(at == node.members.end() ? node.line : line_of(*at),
                       fmt::format("{}{}{}: {}", path, conflict.key.empty() ? "" : ".",
                                   conflict.key, conflict.what),
                       std::move(conflict.hint));
            }
        }
    }

    std::vector<base::Error> take() { return std::move(problems_); }

  private:
    void report(std::size_t line, std::string what, std::string hint) {
        problems_.push_back(problem_at(name_, line, std::move(what), std::move(hint)));
    }

    static std::size_t line_of(const Member& member) {
        return member.value.line == 0 ? member.line : member.value.line;
    }

    /// The field that a key names; a key that is not known or not supported is reported.
    const Field* find(const Record& record, const Member& member, const std::string& path) {
        for (const auto& refusal : record.refusals) {
            if (refusal.name == member.key) {
                report(member.line,
                       in_quotes(member.key) + " is not supported: " + std::string(refusal.reason),
                       fmt::format("remove {}", in_quotes(member.key)));
                return nullptr;
            }
        }
        std::vector<std::string_view> names;
        std::string known;
        for (const auto& field : record.fields) {
            if (field.name == member.key) {
                return &field;
            }
            names.push_back(field.name);
            known += (known.empty() ? "known are " : ", ") + std::string(field.name);
        }
        const auto near = base::did_you_mean(member.key, names);
        report(member.line,
               fmt::format("unknown {} {}{}{}", path.empty() ? "section" : "key",
                           in_quotes(member.key), path.empty() ? "" : " in ", path),
               near.empty() ? known : fmt::format("did you mean '{}'?", near));
        return nullptr;
    }

    void nested(const Field& field, const Member& member, void* target, const std::string& path) {
        if (member.value.kind == Node::Kind::null) {
            return; // every key of it is commented out
        }
        if (field.shape == Field::Shape::list) {
            list(field, member, target, path);
            return;
        }
        if (!is_map(member, "write one indented 'key: value' per line below it")) {
            return;
        }
        if (field.shape == Field::Shape::one) {
            read(*field.records, member.value, field.add(target, {}), path);
            return;
        }
        std::set<std::string> names;
        for (const auto& entry : member.value.members) {
            const auto name = field.read_name(entry.key);
            if (!name) {
                report(entry.line, name.error().message, name.error().hint);
            } else if (!names.insert(*name).second) {
                report(entry.line,
                       fmt::format("{} is {}, which is there already", in_quotes(entry.key), *name),
                       "write each one once");
            } else if (entry.value.kind == Node::Kind::null) {
                field.add(target, *name);
            } else if (is_map(entry, example_of_map(*field.records))) {
                read(*field.records, entry.value, field.add(target, *name), path + "." + entry.key);
            }
        }
    }

    void list(const Field& field, const Member& member, void* target, const std::string& path) {
        if (member.value.kind != Node::Kind::list) {
            report(line_of(member), path + ": is not a list", "write one '- ' per entry below it");
            return;
        }
        for (std::size_t i = 0; i < member.value.items.size(); ++i) {
            const auto& item = member.value.items[i];
            const auto where = fmt::format("{}[{}]", path, i + 1);
            if (item.kind != Node::Kind::map) {
                report(item.line == 0 ? member.line : item.line,
                       where + ": must hold keys of its own", example_of_map(*field.records));
            } else {
                read(*field.records, item, field.add(target, {}), where);
            }
        }
    }

    bool is_map(const Member& member, std::string hint) {
        if (member.value.kind != Node::Kind::map) {
            report(member.line, in_quotes(member.key) + " must hold keys of its own",
                   std::move(hint));
            return false;
        }
        return true;
    }

    static std::string example_of_map(const Record& record) {
        const auto& first = record.fields.front();
        return fmt::format("write for example {{{}: {}}}", first.name, first.example);
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

base::Result<Config> parse(std::string_view text, std::string_view name) {
    TRY_ASSIGN(const auto document, read_document(text, name));
    Config config;
    auto found = read_record(site_record(), document, name, &config);
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
    return read_record(site_record(), *document, name, &config);
}

const RegistryConfig& registry(const Config& config, std::string_view host) {
    static const RegistryConfig defaults;
    const auto canonical = base::canonical_registry_host(host);
    const auto found = config.registries.find(canonical.value_or(std::string(host)));
    return found == config.registries.end() ? defaults : found->second;
}

} // namespace slipway::config
