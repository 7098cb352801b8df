// SPDX-License-Identifier: Apache-2.0
#include "cli/image_argument.hpp"

#include "base/format.hpp"
#include "base/path.hpp"
#include "cli/images_program.hpp"
#include "cli/verbs.hpp"
#include "image/reference.hpp"

#include <sys/stat.h>

#include <algorithm>

namespace slipway::cli {
namespace {

bool exists(const std::string& path) {
    struct stat facts {};
    return ::stat(path.c_str(), &facts) == 0;
}

bool has(std::span<const Option> options, const Option* wanted) {
    return std::any_of(options.begin(), options.end(),
                       [&](const Option& option) { return option.name == wanted->name; });
}

/// What of this command line concerns the fetching of the image; the other program reads variables itself.
std::vector<std::string> stage_options(const Arguments& arguments) {
    std::vector<std::string> options;
    for (const auto& given : arguments.given()) {
        bool handed_on = has(fetch_options().options, given.option);
        for (const auto& group : global_options()) {
            handed_on = handed_on || has(group.options, given.option);
        }
        if (handed_on && given.typed()) {
            options.push_back(fmt::format("--{}={}", given.option->name, given.value));
        }
    }
    return options;
}

} // namespace

base::Result<ImageFile> find_image(const std::string& word, const Session& session) {
    TRY(check_fetching(session.arguments));
    TRY_ASSIGN(const auto uri, image::parse_image(word, exists));
    if (uri.transport == image::Transport::file) {
        if (uri.path.starts_with('/')) {
            return ImageFile{uri.path, {}, {}};
        }
        TRY_ASSIGN(const auto cwd, base::current_directory());
        // Only joined: ".." behind a symlink is the kernel's to resolve.
        return ImageFile{base::join_path(cwd, uri.path), {}, {}};
    }
    TRY(image::require_use(uri, image::Use::start));
    const auto& variables = session.environment.variables();
    const auto options = stage_options(session.arguments);
    if (session.arguments.flag("disable-cache")) {
        TRY_ASSIGN(auto file, built_image(uri.written, session.environment, options));
        auto path = fmt::format("/proc/self/fd/{}", file.get());
        return ImageFile{std::move(path), {}, std::move(file)};
    }
    TRY_ASSIGN(auto stored, staged_image(uri.written, variables, options));
    auto path = image::stored_image_path(stored.store, stored.id);
    return ImageFile{std::move(path), std::move(stored), {}};
}

std::string own_store(const ImageFile& image, const config::Config& config) {
    const bool own = image.stored && (config.store.path.empty() ||
                                      base::clean_path(image.stored->store) !=
                                          base::clean_path(config.store.path));
    return own ? image.stored->store : std::string();
}

} // namespace slipway::cli
