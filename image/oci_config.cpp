// SPDX-License-Identifier: Apache-2.0
#include "base/format.hpp"
#include "base/text.hpp"
#include "base/json.hpp"
#include "image/oci.hpp"

#include <algorithm>
#include <ctime>

namespace slipway::image {

namespace json = base::json;
namespace {

using base::Code;
using base::fail;

constexpr std::size_t max_list = 100000;

/// What Docker makes of commands that name nothing (moby, daemon.mergeAndVerifyConfig): an
/// entrypoint of one empty word is none. A command of one empty word is kept as the argument of an
/// entrypoint; on its own it could never be run and is none, too.
void drop_empty_commands(ImageConfig& config) {
    const auto is_empty_word = [](const std::vector<std::string>& words) {
        return words.size() == 1 && words.front().empty();
    };
    if (is_empty_word(config.entrypoint)) {
        config.entrypoint.clear();
    }
    if (config.entrypoint.empty() && is_empty_word(config.cmd)) {
        config.cmd.clear();
    }
}

/// Fills the fields of the `config` object.
Result<void> read_config_object(const json::Value& object, ImageConfig& out) {
    json::Reader reader(object);
    out.user = reader.text("User");
    out.env = reader.texts("Env");
    out.entrypoint = reader.texts_or_text("Entrypoint");
    out.cmd = reader.texts_or_text("Cmd");
    out.working_dir = reader.text("WorkingDir");
    out.labels = reader.text_map("Labels");
    out.volumes = reader.keys("Volumes");
    out.exposed_ports = reader.keys("ExposedPorts");
    out.stop_signal = reader.text("StopSignal");
    out.args_escaped = reader.boolean("ArgsEscaped");
    if (!reader.ok()) {
        return fail(
            Code::source_protocol,
            fmt::format("the image configuration's field {} has the wrong type", reader.wrong()));
    }
    if (out.env.size() > max_list || out.entrypoint.size() > max_list ||
        out.cmd.size() > max_list) {
        return fail(Code::limit_exceeded, "the image configuration has absurdly long lists");
    }
    // A NUL would end the string early in every C interface that it reaches.
    const auto has_nul = [](const std::string& text) {
        return text.find('\0') != std::string::npos;
    };
    for (const auto* list : {&out.env, &out.entrypoint, &out.cmd}) {
        if (std::any_of(list->begin(), list->end(), has_nul)) {
            return fail(Code::source_protocol,
                        "the image configuration has a NUL byte in Env, Entrypoint or Cmd");
        }
    }
    if (has_nul(out.working_dir) || has_nul(out.user)) {
        return fail(Code::source_protocol,
                    "the image configuration has a NUL byte in User or WorkingDir");
    }
    drop_empty_commands(out);
    return {};
}

json::OrderedValue empty_objects(const std::vector<std::string>& keys) {
    auto object = json::OrderedValue::object();
    for (const auto& key : keys) {
        object[key] = json::OrderedValue::object();
    }
    return object;
}

/// Digits [at, at+count) of text, or -1.
int digits(std::string_view text, std::size_t at, std::size_t count) noexcept {
    if (at + count > text.size()) {
        return -1;
    }
    int value = 0;
    for (const char c : text.substr(at, count)) {
        if (c < '0' || c > '9') {
            return -1;
        }
        value = value * 10 + (c - '0');
    }
    return value;
}

/// Seconds of "Z", "+hh:mm", "-hh:mm".
std::optional<std::int64_t> zone_offset(std::string_view zone) noexcept {
    if (zone == "Z" || zone == "z") {
        return 0;
    }
    if (zone.size() != 6 || (zone[0] != '+' && zone[0] != '-') || zone[3] != ':') {
        return std::nullopt;
    }
    const int hours = digits(zone, 1, 2);
    const int minutes = digits(zone, 4, 2);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) {
        return std::nullopt;
    }
    const std::int64_t seconds = hours * 3600 + minutes * 60;
    return zone[0] == '-' ? -seconds : seconds;
}

} // namespace

std::optional<std::int64_t> parse_rfc3339(std::string_view text) {
    if (text.size() < 20 || text[4] != '-' || text[7] != '-' ||
        (text[10] != 'T' && text[10] != 't') || text[13] != ':' || text[16] != ':') {
        return std::nullopt;
    }
    std::tm parts{};
    const int fields[] = {digits(text, 0, 4),  digits(text, 5, 2),  digits(text, 8, 2),
                          digits(text, 11, 2), digits(text, 14, 2), digits(text, 17, 2)};
    constexpr int least[] = {0, 1, 1, 0, 0, 0};
    constexpr int most[] = {9999, 12, 31, 23, 59, 60};
    for (std::size_t i = 0; i < std::size(fields); ++i) {
        if (fields[i] < least[i] || fields[i] > most[i]) {
            return std::nullopt;
        }
    }
    parts.tm_year = fields[0] - 1900;
    parts.tm_mon = fields[1] - 1;
    parts.tm_mday = fields[2];
    parts.tm_hour = fields[3];
    parts.tm_min = fields[4];
    parts.tm_sec = fields[5];
    auto rest = text.substr(19);
    if (rest.starts_with('.')) {
        const auto end = rest.find_first_not_of("0123456789", 1);
        if (end == 1 || end == std::string_view::npos) {
            return std::nullopt;
        }
        rest.remove_prefix(end);
    }
    const auto offset = zone_offset(rest);
    if (!offset) {
        return std::nullopt;
    }
    return static_cast<std::int64_t>(::timegm(&parts)) - *offset;
}

std::optional<std::int64_t> ImageConfig::created_seconds() const {
    return parse_rfc3339(created);
}

std::string ImageConfig::config_json() const {
    auto out = json::OrderedValue::object();
    const auto put_text = [&](const char* key, const std::string& value) {
        if (!value.empty()) {
            out[key] = value;
        }
    };
    const auto put_list = [&](const char* key, const std::vector<std::string>& value) {
        if (!value.empty()) {
            out[key] = value;
        }
    };
    const auto put_keys = [&](const char* key, const std::vector<std::string>& value) {
        if (!value.empty()) {
            out[key] = empty_objects(value);
        }
    };
    put_text("User", user);
    put_keys("ExposedPorts", exposed_ports);
    put_list("Env", env);
    put_list("Entrypoint", entrypoint);
    put_list("Cmd", cmd);
    put_keys("Volumes", volumes);
    put_text("WorkingDir", working_dir);
    if (!labels.empty()) {
        out["Labels"] = labels;
    }
    put_text("StopSignal", stop_signal);
    if (args_escaped) {
        out["ArgsEscaped"] = true;
    }
    return json::compact(out);
}

Result<ImageConfig> parse_image_config(std::string_view body) {
    TRY_ASSIGN(const auto value, json::parse_object(body, max_document, Code::source_protocol,
                                                    "the image configuration"));
    json::Reader reader(value);
    ImageConfig out;
    out.platform = normalise(Platform{.os = reader.text("os"),
                                      .architecture = reader.text("architecture"),
                                      .variant = reader.text("variant"),
                                      .os_version = reader.text("os.version")});
    out.created = reader.text("created");
    if (const auto* history = reader.array("history")) {
        out.history_entries = history->size();
    }
    if (const auto* rootfs = reader.object("rootfs")) {
        json::Reader inner(*rootfs);
        const auto type = inner.text("type");
        const auto ids = inner.texts("diff_ids");
        if (!inner.ok()) {
            return fail(Code::source_protocol,
                        fmt::format("the image configuration's rootfs.{} has the wrong type",
                                    inner.wrong()));
        }
        if (type != "layers" && !(type.empty() && ids.empty())) {
            return fail(Code::media_type,
                        fmt::format("the image's root file system is of type {}, only "
                                    "'layers' is known",
                                    base::in_quotes(type)));
        }
        for (const auto& id : ids) {
            auto digest = Digest::parse(id);
            if (!digest) {
                auto error = std::move(digest).error();
                error.code = Code::source_protocol;
                return base::Unexpected(std::move(error).context("rootfs.diff_ids"));
            }
            out.diff_ids.push_back(std::move(*digest));
        }
    }
    if (const auto* config = reader.object("config")) {
        TRY(read_config_object(*config, out));
    }
    if (!reader.ok()) {
        return fail(
            Code::source_protocol,
            fmt::format("the image configuration's field {} has the wrong type", reader.wrong()));
    }
    return out;
}

} // namespace slipway::image
