// SPDX-License-Identifier: Apache-2.0
// The verb inspect (reference native-image.md 13).
#include "base/text.hpp"
#include "cli/image_argument.hpp"
#include "cli/image_metadata.hpp"
#include "cli/messages.hpp"
#include "image/stored_image.hpp"

#include <unistd.h>

namespace slipway::cli {
namespace {

image::MetadataParts wanted_parts(const Arguments& arguments) {
    if (arguments.flag("all")) {
        return image::MetadataParts::all();
    }
    image::MetadataParts parts;
    parts.labels = arguments.flag("labels");
    parts.deffile = arguments.flag("deffile");
    parts.runscript = arguments.flag("runscript");
    parts.startscript = arguments.flag("startscript");
    parts.test = arguments.flag("test");
    parts.environment = arguments.flag("environment");
    parts.helpfile = arguments.flag("helpfile");
    parts.apps = arguments.flag("list-apps");
    return parts;
}

/// Texts of an image must not drive the reader's terminal; files and pipes get them unchanged.
std::string for_terminal(std::string_view text) {
    std::string out;
    for (const auto line : base::split(text, '\n')) {
        std::string shown;
        for (const auto piece : base::split(line, '\t')) {
            shown +=
                (shown.empty() && piece.data() == line.data() ? "" : "\t") + base::printable(piece);
        }
        out += (line.data() == text.data() ? "" : "\n") + shown;
    }
    return out;
}

base::Result<image::OpenImage> opened(const ImageFile& file, const Session& session) {
    if (!file.stored) {
        return image::open_image(file.path);
    }
    TRY_ASSIGN(const auto config, config::load(config::Reader::user, session.site_file()));
    const bool own = !own_store(file, config).empty();
    return image::open_stored_image(file.stored->store, file.stored->id,
                                    own ? std::optional(::geteuid()) : std::nullopt);
}

} // namespace

base::Result<int> run_inspect(Session& session) {
    const auto& arguments = session.arguments;
    if (!session.site_file().empty()) { // also for a file, which does not need it
        TRY(config::load(config::Reader::user, session.site_file()));
    }
    TRY_ASSIGN(const auto file, find_image(arguments.words().front(), session));
    TRY_ASSIGN(const auto open, opened(file, session));
    const auto parts = wanted_parts(arguments);
    const auto app = arguments.text("app").value_or("");
    const bool json = arguments.flag("json") || arguments.flag("all");
    TRY_ASSIGN(auto text, describe_image(open, file.path, [&](const image::Metadata& metadata) {
                   return json ? image::metadata_json(metadata, parts, app)
                               : image::metadata_text(metadata, parts, app);
               }));
    if (!json && ::isatty(STDOUT_FILENO) == 1) {
        text = for_terminal(text);
    }
    return printed(text);
}

} // namespace slipway::cli
