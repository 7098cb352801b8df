// SPDX-License-Identifier: Apache-2.0
// The verbs stage, pull and build.
#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "base/words.hpp"
#include "cli/images/command.hpp"
#include "cli/images/image_file.hpp"
#include "cli/messages.hpp"
#include "image/open_image.hpp"
#include "image/reference.hpp"
#include "image/stored_image.hpp"

#include <utility>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace slipway::cli::images {
namespace {

using base::Code;

bool exists(const std::string& path) {
    struct stat st {};
    return ::lstat(path.c_str(), &st) == 0;
}

/// Whether some line near the beginning of a file is the header that every definition file has.
bool is_definition(const std::string& path) {
    constexpr std::size_t looked_at = 64U << 10U;
    const auto file = base::open_file(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    std::string head(looked_at, '\0');
    const ssize_t got = file ? ::read(file->get(), head.data(), head.size()) : -1;
    head.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    for (const auto line : base::split(head, '\n')) {
        constexpr std::string_view key = "bootstrap:";
        if (base::equal_ignoring_case(base::trim(line).substr(0, key.size()), key)) {
            return true;
        }
    }
    return false;
}

/// The source of an image, parsed. A definition file is none.
base::Result<image::ImageUri> parse_source(const std::string& reference) {
    TRY_ASSIGN(auto uri, image::parse_image(reference, exists));
    const bool file = uri.transport == image::Transport::file;
    if (reference.ends_with(".def") || (file && is_definition(uri.path))) {
        return base::fail(Code::unsupported,
                          base::in_quotes(reference) +
                              " is a definition file: this version does not build from those",
                          "build from an image: slipway build OUT.sif docker://debian:12");
    }
    if (file) {
        TRY(image::open_image(uri.path)); // better said before anything else is done
    }
    return uri;
}

/// Shows progress while `work` runs and removes the progress line before an error is printed.
template <typename WorkFunction>
base::Result<prefetch::stage::StagedImage> with_progress(const Session& session, const std::string& name,
                                                  WorkFunction work) {
    const int fd = session.arguments.flag("json") ? STDOUT_FILENO : STDERR_FILENO;
    prefetch::stage::ProgressPrinter printer(fd, progress_style(session), name);
    auto image = work([&](const prefetch::stage::StageProgress& progress) { printer.show(progress); });
    if (image) {
        printer.done(*image);
    } else {
        printer.clear();
    }
    return image;
}

/// What the Slurm plugin reads. The image is named by its id, and by its store where that is not the
/// site's: nodes find it themselves.
std::string keys_of(const Site& site, const prefetch::stage::StagedImage& image) {
    const auto& shared = site.config->store.path;
    const bool of_site = !shared.empty() && base::is_beneath(image.path, shared);
    const auto stored = image::parse_stored_image_path(image.path);
    return fmt::format("id={}\n{}pinned={}\n", image.id,
                       of_site || !stored ? "" : fmt::format("store={}\n", stored->store),
                       image.reference);
}

/// Nobody waits any more: whoever reads the output sees its end, and neither the terminal's signals nor the
/// end of the caller come here.
void go_on_alone() {
    ::setsid();
    ::prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
    const base::UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO && null; ++fd) {
        ::dup2(null.get(), fd);
    }
}

/// Stages like any other, but says what the image will be as soon as that is known, and then goes on in the
/// background. Without progress, because that would have to stop in the middle.
base::Result<int> stage_detached(const Site& site, const prefetch::staging::Stager& stager,
                                 const prefetch::stage::StageRequest& request, const std::stop_token& stop) {
    bool alone = false;
    const auto sink = [&](const prefetch::stage::StageProgress& progress) {
        if (progress.image && !std::exchange(alone, true)) {
            (void)printed(keys_of(site, *progress.image));
            go_on_alone();
        }
    };
    TRY_ASSIGN(const auto image, stager.stage(request, sink, stop));
    return alone ? base::Result<int>(0) : printed(keys_of(site, image));
}

struct Target {
    std::string path;
    std::string_view kind; ///< for the question: "Build target"
};

/// Standard output has one form at a time, and only the keys can be known in advance.
base::Result<void> check_output(const Arguments& arguments) {
    constexpr std::pair<std::string_view, std::string_view> pairs[] = {
        {"json", "print-path"},   {"json", "print-keys"}, {"print-path", "print-keys"},
        {"detach", "print-path"}, {"detach", "json"},
    };
    for (const auto& [one, other] : pairs) {
        if (arguments.flag(one) && arguments.flag(other)) {
            return base::fail(Code::usage, fmt::format("--{} and --{} exclude each other", one, other),
                              "give one of them");
        }
    }
    return {};
}

/// Whether an existing file is to be replaced; an Error when it must stay.
base::Result<bool> may_replace(const Session& session, const Target& target) {
    struct stat st {};
    if (::lstat(target.path.c_str(), &st) != 0) {
        return false;
    }
    const auto name = base::in_quotes(target.path);
    if (!S_ISREG(st.st_mode)) {
        return base::fail(Code::image_exists, name + " exists and is no regular file",
                          "name another file");
    }
    const auto question =
        fmt::format("{} {} already exists. Do you want to overwrite? [N/y]", target.kind, name);
    if (!session.arguments.flag("force") && !confirmed(question)) {
        return base::fail(Code::image_exists, name + " exists already", "--force overwrites it");
    }
    return true;
}

/// What make_file() has found out before anything is fetched.
struct Making {
    const Site& site;
    const prefetch::staging::Stager& stager;
    const prefetch::stage::StageRequest& request;
    const Target& target;
    bool straight; ///< not by way of the store
    bool replace;
};

base::Result<prefetch::stage::StagedImage> fill_file(const Making& making, const prefetch::stage::StageSink& sink,
                                              std::stop_token stop) {
    const auto& [site, stager, request, target, straight, replace] = making;
    TRY_ASSIGN(auto file, NewFile::beside(target.path));
    if (!straight) {
        auto image = stager.stage(request, sink, stop);
        // Whoever owns the shared store may have credentials that others must not profit from.
        const bool withheld = !image && image.error().code == Code::source_denied &&
                              site.own.access == store::Access::shared;
        if (!withheld) {
            TRY_ASSIGN(auto staged, std::move(image));
            TRY_ASSIGN(const auto open, stager.open_image(staged));
            TRY(file.copy_from(open.fd.get(), stop));
            TRY(file.publish(replace));
            staged.path = target.path;
            return staged;
        }
    }
    TRY_ASSIGN(auto built, stager.build(request, file.unused_path(), sink, stop));
    TRY(file.publish(replace));
    built.path = target.path;
    return built;
}

/// Makes the file from the store, which is filled first if need be. What has no network behind it, and
/// what must not be in the store, is converted straight into the file.
base::Result<int> make_file(const Session& session, const std::string& reference,
                            const Target& target) {
    TRY_ASSIGN(const auto request, stage_request(session, reference));
    TRY(check_output(session.arguments));
    TRY_ASSIGN(const auto uri, parse_source(reference));
    TRY_ASSIGN(const bool replace, may_replace(session, target));
    const auto stop = interruption(); // not before the question, which Ctrl-C ends like any program
    TRY_ASSIGN(const auto site, find_site(session));
    TRY_ASSIGN(const auto stager, make_stager(session, site));
    const bool straight = site.temporary || !uri.is_remote();
    const Making making{site, *stager, request, target, straight, replace};
    const auto image = with_progress(session, reference, [&](const auto& sink) {
        return fill_file(making, sink, stop);
    });
    TRY(image);
    if (session.arguments.flag("print-path")) {
        return printed(target.path + "\n");
    }
    if (!session.arguments.flag("json")) { // there the last event has said it
        base::log(base::LogLevel::info, fmt::format("wrote {}, {}", base::in_quotes(target.path),
                                                    base::size_text(image->size)));
    }
    return 0;
}

} // namespace

base::Result<int> run_stage(Session& session) {
    const auto& words = session.arguments.words();
    TRY(check_output(session.arguments));
    if (session.arguments.flag("disable-cache")) {
        const auto* given = session.arguments.last("disable-cache");
        const auto message = given->source + " has no effect on stage, which fills the store";
        if (given->typed()) {
            return base::fail(Code::usage, message, "leave it out");
        }
        base::log(base::LogLevel::info, message);
    }
    TRY(parse_source(words.front()));
    const auto stop = interruption();
    TRY_ASSIGN(const auto request, stage_request(session, words.front()));
    TRY_ASSIGN(const auto site, find_site(session, Cache::enabled));
    TRY_ASSIGN(const auto stager, make_stager(session, site));
    if (session.arguments.flag("detach")) {
        return stage_detached(site, *stager, request, stop);
    }
    TRY_ASSIGN(const auto image, with_progress(session, words.front(), [&](const auto& sink) {
                   return stager->stage(request, sink, stop);
               }));
    if (session.arguments.flag("json")) {
        return 0; // the last event has said it
    }
    if (session.arguments.flag("print-keys")) {
        return printed(keys_of(site, image));
    }
    if (session.arguments.flag("print-path")) {
        return printed(image.path + "\n");
    }
    return printed(fmt::format("{}\n{}\n", image.reference, image.path));
}

base::Result<int> run_pull(Session& session) {
    const auto& words = session.arguments.words();
    const auto& reference = words.back();
    TRY_ASSIGN(const auto uri, parse_source(reference));
    const auto* named = session.arguments.last("name");
    if (words.size() == 2 && named != nullptr && named->typed()) {
        return base::fail(Code::usage,
                          fmt::format("the file has two names, {} and {} {}",
                                      base::in_quotes(words.front()), named->source,
                                      base::in_quotes(named->value)),
                          "give one of them");
    }
    auto name = words.size() == 2 ? words.front()
                : named != nullptr ? named->value
                                   : image::default_file_name(uri);
    if (const auto* dir = session.arguments.last("dir")) {
        if (name.find('/') != std::string::npos) {
            return base::fail(Code::usage,
                              fmt::format("{} and the file name {} both name a directory", dir->source,
                                          base::in_quotes(name)),
                              "give one of them");
        }
        name = base::join_path(dir->value, name);
    }
    return make_file(session, reference, {name, "Image file"});
}

base::Result<int> run_build(Session& session) {
    const auto& words = session.arguments.words();
    return make_file(session, words[1], {words[0], "Build target"});
}

} // namespace slipway::cli::images
