// SPDX-License-Identifier: Apache-2.0
#include "prefetch/stage/events.hpp"

#include "prefetch/stage/api_version.hpp"
#include "prefetch/stage/event_json.hpp"
#include "prefetch/stage/phases.hpp"

namespace slipway::prefetch::stage {
namespace {

// Ordered, so that "event" is the first field of a line: people and simple clients rely on it.
using base::json::OrderedValue;
using base::json::Value;

constexpr std::string_view ready_name = "ready";
constexpr std::string_view failed_name = "failed";
constexpr std::size_t max_line = 64U << 10U;

/// What is known as soon as the image is identified.
void add_identity(OrderedValue& object, const StagedImage& image) {
    object["path"] = image.path;
    object["reference"] = image.reference;
    object["digest"] = image.digest;
    object["image"] = image.id;
}

OrderedValue object_of(const StageProgress& progress) {
    const auto& row = row_of(progress.phase);
    OrderedValue object{{"event", row.event}};
    if (!row.done_key.empty()) {
        object[std::string(row.done_key)] = progress.done;
    }
    if (!row.total_key.empty()) {
        object[std::string(row.total_key)] = progress.total;
    }
    if (!row.detail_key.empty()) {
        object[std::string(row.detail_key)] = progress.detail;
    }
    if (progress.image) {
        add_identity(object, *progress.image); // its size is not known before it is there
    }
    return object;
}

OrderedValue object_of(const StagedImage& image) {
    OrderedValue object{{"event", ready_name}};
    add_identity(object, image);
    object["size"] = image.size;
    object["was_present"] = image.was_present;
    return object;
}

OrderedValue object_of(const base::Error& error) {
    OrderedValue object{{"event", failed_name}};
    object.update(error_object(error));
    return object;
}

base::Unexpected no_event() {
    return base::Unexpected(senseless_answer());
}

StagedImage read_image(const Value& object) {
    base::json::Reader reader(object);
    StagedImage image;
    image.path = reader.text("path");
    image.reference = reader.text("reference");
    image.digest = reader.text("digest");
    image.id = reader.text("image");
    image.size = reader.number("size").value_or(0);
    image.was_present = reader.boolean("was_present");
    return image;
}

StageProgress read_progress(const Value& object, const PhaseRow& row) {
    base::json::Reader reader(object);
    const auto number = [&](std::string_view key) {
        return key.empty() ? 0 : reader.number(std::string(key).c_str()).value_or(0);
    };
    StageProgress progress;
    progress.phase = row.phase;
    progress.done = number(row.done_key);
    progress.total = number(row.total_key);
    if (!row.detail_key.empty()) {
        progress.detail = reader.text(std::string(row.detail_key).c_str());
    }
    if (base::json::member(object, "path") != nullptr) {
        progress.image = read_image(object);
    }
    return progress;
}

} // namespace

OrderedValue error_object(const base::Error& error) {
    return {{"code", base::code_name(error.code)},
            {"message", error.message},
            {"hint", error.hint}};
}

std::optional<base::Error> read_error(const Value& object) {
    base::json::Reader reader(object);
    base::Error error{base::code_from_name(reader.text("code")), 0, reader.text("message"),
                      reader.text("hint")};
    if (error.message.empty() || !reader.ok()) {
        return std::nullopt;
    }
    return error;
}

OrderedValue event_object(const Event& event) {
    return std::visit([](const auto& what) { return object_of(what); }, event);
}

std::string event_line(const Event& event) {
    return base::json::compact(event_object(event));
}

base::Result<std::optional<Event>> read_event(const Value& object) {
    const auto name = base::json::Reader(object).text("event");
    if (name.empty()) {
        return no_event();
    }
    if (name == ready_name) {
        auto image = read_image(object);
        // A path of the service's own host would be opened as another file here.
        if (!image.path.starts_with('/')) {
            return no_event();
        }
        return Event(std::move(image));
    }
    if (name == failed_name) {
        auto error = read_error(object);
        if (!error) {
            return no_event();
        }
        return Event(std::move(*error));
    }
    for (const auto& row : phases) {
        if (row.event == name) {
            return Event(read_progress(object, row));
        }
    }
    return std::optional<Event>();
}

base::Result<std::optional<Event>> parse_event(std::string_view line) {
    const auto object = base::json::parse_object(line, max_line, base::Code::service_protocol,
                                                 "the service's answer");
    return object ? read_event(*object) : no_event();
}

} // namespace slipway::prefetch::stage
