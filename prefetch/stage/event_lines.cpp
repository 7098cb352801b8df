// SPDX-License-Identifier: Apache-2.0
#include "prefetch/stage/event_lines.hpp"

#include <nlohmann/json.hpp>

namespace slipway::prefetch::stage {
namespace {

// Ordered, so that "event" is the first field of a line: people and simple clients rely on it.
using json = nlohmann::ordered_json;

std::string line_of(const json& object) {
    return object.dump(-1, ' ', false, json::error_handler_t::replace);
}

json image_fields(const StagedImage& image) {
    return {{"path", image.path},
            {"reference", image.reference},
            {"digest", image.digest},
            {"image", image.id},
            {"size", image.size},
            {"was_present", image.was_present}};
}

} // namespace

std::string progress_line(const StageProgress& progress) {
    json line;
    switch (progress.phase) {
    case Phase::queued:
        line = {{"event", "queued"}, {"position", progress.done}};
        break;
    case Phase::waiting:
        line = {{"event", "waiting"}, {"holder", progress.detail}};
        break;
    case Phase::resolving:
        line = {{"event", "resolving"}};
        break;
    case Phase::resolved:
        line = {{"event", "resolved"}};
        if (progress.image) {
            line.update(image_fields(*progress.image));
        }
        break;
    case Phase::downloading:
        line = {{"event", "downloading"}, {"bytes", progress.done}, {"total", progress.total}};
        break;
    case Phase::converting:
        line = {{"event", "converting"}, {"bytes", progress.done}, {"total", progress.total}};
        break;
    case Phase::publishing:
        line = {{"event", "publishing"}};
        break;
    }
    return line_of(line);
}

std::string ready_line(const StagedImage& image) {
    json line = {{"event", "ready"}};
    line.update(image_fields(image));
    return line_of(line);
}

std::string failed_line(const base::Error& error) {
    return line_of({{"event", "failed"},
                    {"code", base::code_name(error.code)},
                    {"message", error.message},
                    {"hint", error.hint}});
}

} // namespace slipway::prefetch::stage
