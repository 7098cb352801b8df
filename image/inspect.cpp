// SPDX-License-Identifier: Apache-2.0
#include "image/inspect.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "base/json.hpp"

namespace slipway::image {

namespace json = base::json;
namespace {

using base::Code;
using base::fail;

constexpr std::size_t max_metadata = std::size_t{16} * 1024 * 1024;
constexpr std::size_t max_apps = 1000;

std::string without_newlines(std::string text) {
    while (text.ends_with('\n')) {
        text.pop_back();
    }
    return text;
}

base::Unexpected wrong_field(std::string_view name) {
    return fail(Code::image_corrupt, fmt::format("the image's metadata field {} has the wrong type",
                                                 base::in_quotes(name)));
}

/// The fields that an image and an app have in common.
template <typename Target>
Result<void> read_common(const json::Value& object, Target& out) {
    json::Reader reader(object);
    out.labels = reader.text_map("labels");
    out.runscript = reader.text("runscript");
    out.startscript = reader.text("startscript");
    out.test = reader.text("test");
    out.helpfile = reader.text("helpfile");
    out.environment = reader.text_map("environment");
    return reader.ok() ? Result<void>() : wrong_field(reader.wrong());
}

template <typename Source>
json::Value common_json(const Source& from, const MetadataParts& parts) {
    json::Value out = json::Value::object();
    const auto put = [&](bool wanted, const char* key, const auto& value) {
        if (wanted && !value.empty()) {
            out[key] = value;
        }
    };
    put(parts.labels, "labels", from.labels);
    put(parts.runscript, "runscript", from.runscript);
    put(parts.startscript, "startscript", from.startscript);
    put(parts.test, "test", from.test);
    put(parts.helpfile, "helpfile", from.helpfile);
    put(parts.environment, "environment", from.environment);
    return out;
}

MetadataParts with_default(MetadataParts parts) {
    if (!parts.labels && !parts.deffile && !parts.runscript && !parts.startscript && !parts.test &&
        !parts.environment && !parts.helpfile && !parts.apps) {
        parts.labels = true;
    }
    return parts;
}

json::Value envelope(const Metadata& metadata, const MetadataParts& asked) {
    const auto parts = with_default(asked);
    auto attributes = common_json(metadata, parts);
    if (parts.deffile && !metadata.deffile.empty()) {
        attributes["deffile"] = metadata.deffile;
    }
    if (parts.apps && !metadata.apps.empty()) {
        auto apps = json::Value::object();
        for (const auto& [name, app] : metadata.apps) {
            apps[name] = common_json(app, MetadataParts::all());
        }
        attributes["apps"] = std::move(apps);
    }
    return {{"data", {{"attributes", std::move(attributes)}}}, {"type", metadata.type}};
}

Result<const AppMetadata*> find_app(const Metadata& metadata, std::string_view app) {
    const auto found = metadata.apps.find(std::string(app));
    if (found == metadata.apps.end()) {
        return fail(Code::image_not_found,
                    fmt::format("the image has no app {}", base::in_quotes(app)),
                    "`slipway inspect --list-apps IMAGE` names the apps it has");
    }
    return &found->second;
}

/// "10-docker*.sh" and "9*-environment.sh": what inspect has always listed.
bool is_shown_environment(std::string_view name) noexcept {
    return name.ends_with(".sh") && (name.starts_with("10-docker") ||
                                     (name.starts_with('9') && name.ends_with("-environment.sh")));
}

Result<std::string> read_or_nothing(const ImageFiles& files, const std::string& path) {
    TRY_ASSIGN(auto text, files.read(path));
    return text ? without_newlines(std::move(*text)) : std::string();
}

Result<std::map<std::string, std::string>> collect_labels(const ImageFiles& files,
                                                          const std::string& path) {
    TRY_ASSIGN(const auto text, files.read(path));
    return text ? parse_labels(*text)
                : Result<std::map<std::string, std::string>>(std::map<std::string, std::string>());
}

Result<std::map<std::string, std::string>>
collect_environment(const ImageFiles& files, const std::string& directory, bool every_file) {
    std::map<std::string, std::string> out;
    TRY_ASSIGN(const auto names, files.list(directory));
    for (const auto& name : names) {
        if (every_file ? name.ends_with(".sh") : is_shown_environment(name)) {
            const auto path = directory + "/" + name;
            TRY_ASSIGN(auto text, files.read(path));
            if (text) {
                out[path] = without_newlines(std::move(*text));
            }
        }
    }
    return out;
}

/// The files that an image and an app have in common; `is_app`: how an app's environment is named.
template <typename Target>
Result<void> collect_common(const ImageFiles& files, const std::string& directory, bool is_app,
                            Target& out) {
    TRY_ASSIGN(out.labels, collect_labels(files, directory + "/labels.json"));
    TRY_ASSIGN(out.runscript, read_or_nothing(files, directory + "/runscript"));
    TRY_ASSIGN(out.startscript, read_or_nothing(files, directory + "/startscript"));
    TRY_ASSIGN(out.test, read_or_nothing(files, directory + "/test"));
    TRY_ASSIGN(out.helpfile, read_or_nothing(files, directory + "/runscript.help"));
    TRY_ASSIGN(out.environment, collect_environment(files, directory + "/env", is_app));
    return {};
}

/// Text for people of the fields in common. One asked part is printed bare, several in their order.
template <typename Source>
std::string common_text(const Source& from, const MetadataParts& parts) {
    std::string out;
    const auto add = [&](bool wanted, const std::string& text) {
        if (wanted && !text.empty()) {
            out += without_newlines(text) + "\n";
        }
    };
    if (parts.labels) {
        for (const auto& [key, value] : from.labels) {
            out += base::printable(key) + ": " + base::printable(value) + "\n";
        }
    }
    add(parts.helpfile, from.helpfile);
    add(parts.runscript, from.runscript);
    add(parts.startscript, from.startscript);
    add(parts.test, from.test);
    if (parts.environment) {
        for (const auto& [path, text] : from.environment) {
            out += "=== " + base::printable(path) + " ===\n" + without_newlines(text) + "\n\n";
        }
    }
    return out;
}

} // namespace

MetadataParts MetadataParts::all() {
    return {.labels = true,
            .deffile = true,
            .runscript = true,
            .startscript = true,
            .test = true,
            .environment = true,
            .helpfile = true,
            .apps = true};
}

Result<Metadata> parse_metadata(std::string_view text) {
    TRY_ASSIGN(const auto value,
               json::parse_object(text, max_metadata, Code::image_corrupt, "the image's metadata"));
    Metadata out;
    json::Reader top(value);
    if (auto type = top.text("type"); !type.empty()) {
        out.type = std::move(type);
    }
    const auto* data = top.object("data");
    if (data == nullptr) {
        return top.ok() ? Result<Metadata>(std::move(out)) : wrong_field(top.wrong());
    }
    json::Reader inner(*data);
    const auto* attributes = inner.object("attributes");
    if (attributes == nullptr) {
        return inner.ok() ? Result<Metadata>(std::move(out)) : wrong_field(inner.wrong());
    }
    TRY(read_common(*attributes, out));
    json::Reader reader(*attributes);
    out.deffile = reader.text("deffile");
    if (const auto* apps = reader.object("apps")) {
        if (apps->size() > max_apps) {
            return fail(Code::limit_exceeded, "the image's metadata lists more than 1000 apps");
        }
        for (const auto& [name, app] : apps->items()) {
            if (!app.is_object()) {
                return wrong_field("apps");
            }
            TRY(read_common(app, out.apps[name]));
        }
    }
    return reader.ok() ? Result<Metadata>(std::move(out)) : wrong_field(reader.wrong());
}

Result<std::map<std::string, std::string>> parse_labels(std::string_view text) {
    TRY_ASSIGN(const auto value, json::parse_object(text, max_metadata, Code::image_corrupt,
                                                    "the image's labels.json"));
    std::map<std::string, std::string> labels;
    for (const auto& [key, label] : value.items()) {
        // Some builders write numbers and booleans; their JSON text is what people expect to see.
        const auto* plain = label.get_ptr<const std::string*>();
        labels[key] = plain != nullptr ? *plain : json::compact(label);
    }
    return labels;
}

Result<Metadata> collect_metadata(const ImageFiles& files) {
    const std::string top = "/.singularity.d";
    Metadata out;
    TRY(collect_common(files, top, false, out));
    TRY_ASSIGN(out.deffile, read_or_nothing(files, top + "/Singularity"));
    TRY_ASSIGN(const auto names, files.list("/scif/apps"));
    for (const auto& name : names) {
        if (out.apps.size() < max_apps && name != "." && name != "..") {
            TRY(collect_common(files, "/scif/apps/" + name + "/scif", true, out.apps[name]));
        }
    }
    return out;
}

Result<std::string> metadata_json(const Metadata& metadata, const MetadataParts& parts,
                                  std::string_view app) {
    if (app.empty()) {
        return json::indented(envelope(metadata, parts)) + "\n";
    }
    TRY_ASSIGN(const auto* found, find_app(metadata, app));
    json::Value out = {{"type", metadata.type}};
    out["data"]["attributes"]["apps"][std::string(app)] = common_json(*found, with_default(parts));
    return json::indented(out) + "\n";
}

std::string metadata_json_compact(const Metadata& metadata, const MetadataParts& parts) {
    return json::compact(envelope(metadata, parts));
}

Result<std::string> metadata_text(const Metadata& metadata, const MetadataParts& asked,
                                  std::string_view app) {
    const auto parts = with_default(asked);
    if (!app.empty()) {
        TRY_ASSIGN(const auto* found, find_app(metadata, app));
        return common_text(*found, parts);
    }
    std::string out;
    if (parts.apps) {
        for (const auto& [name, unused] : metadata.apps) {
            out += base::printable(name) + "\n";
        }
    }
    if (parts.deffile && !metadata.deffile.empty()) {
        out += without_newlines(metadata.deffile) + "\n";
    }
    return out + common_text(metadata, parts);
}

} // namespace slipway::image
