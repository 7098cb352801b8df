// SPDX-License-Identifier: Apache-2.0
// The verbs stage, pull and build.
#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "cli/images/command.hpp"
#include "cli/messages.hpp"
#include "image/reference.hpp"

#include <cerrno>

#include <sys/stat.h>
#include <unistd.h>

namespace slipway::cli::images {
namespace {

using base::Code;

base::Result<int> said(std::string_view text) {
    return print(text) ? 0 : static_cast<int>(base::ExitCode::setup);
}

bool exists(const std::string& path) {
    struct stat st {};
    return ::lstat(path.c_str(), &st) == 0;
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

base::Result<int> build_file(const Session& session, const std::string& reference,
                             const std::string& path) {
    const auto stop = interruption();
    TRY_ASSIGN(const auto request, stage_request(session, reference));
    const bool force = session.arguments.flag("force");
    if (exists(path)) {
        if (!force) {
            return base::fail(Code::image_exists, base::in_quotes(path) + " exists already",
                              "--force overwrites it");
        }
        struct stat st {};
        if (::lstat(path.c_str(), &st) == 0 && !S_ISREG(st.st_mode)) {
            return base::fail(Code::image_exists, base::in_quotes(path) + " is no file",
                              "name another file");
        }
    }
    TRY_ASSIGN(const auto site, find_site(session));
    TRY_ASSIGN(const auto stager, make_stager(session, site));
    // With --force the old file stays until the new one is whole.
    const auto target = force ? fmt::format("{}.new.{}", path, ::getpid()) : path;
    TRY_ASSIGN(const auto image, with_progress(session, reference, [&](const auto& sink) {
                   return stager->build(request, target, sink, stop);
               }));
    if (force && ::rename(target.c_str(), path.c_str()) != 0) {
        const int err = errno;
        ::unlink(target.c_str());
        return base::fail_errno(Code::io, err, "cannot replace " + base::in_quotes(path));
    }
    (void)image;
    return 0;
}

} // namespace

base::Result<int> run_stage(Session& session) {
    const auto& words = session.arguments.words();
    if (words.size() != 1) {
        return base::fail(Code::usage, "stage takes one image", "slipway help stage");
    }
    const auto stop = interruption();
    TRY_ASSIGN(const auto request, stage_request(session, words.front()));
    TRY_ASSIGN(const auto site, find_site(session));
    TRY_ASSIGN(const auto stager, make_stager(session, site));
    TRY_ASSIGN(const auto image, with_progress(session, words.front(), [&](const auto& sink) {
                   return stager->stage(request, sink, stop);
               }));
    if (session.arguments.flag("json")) {
        return 0; // the last event has told it
    }
    if (session.arguments.flag("print-keys")) {
        return said(fmt::format("path={}\npinned={}\n", image.path, image.reference));
    }
    if (session.arguments.flag("print-path")) {
        return said(image.path + "\n");
    }
    return said(fmt::format("{}\n{}\n", image.reference, image.path));
}

base::Result<int> run_pull(Session& session) {
    const auto& words = session.arguments.words();
    if (words.empty() || words.size() > 2) {
        return base::fail(Code::usage, "pull takes an image, and before it the file if you want",
                          "slipway pull [FILE] URI");
    }
    const auto& reference = words.back();
    TRY_ASSIGN(const auto uri, image::parse_image(reference, exists));
    auto name = session.arguments.text("name").value_or("");
    if (words.size() == 2) {
        name = words.front();
    }
    if (name.empty()) {
        name = image::default_file_name(uri);
    }
    if (const auto dir = session.arguments.text("dir")) {
        if (name.find('/') != std::string::npos) {
            return base::fail(Code::usage, "--dir and a file name with a path contradict",
                              "give one of them");
        }
        name = base::join_path(*dir, name);
    }
    return build_file(session, reference, name);
}

base::Result<int> run_build(Session& session) {
    const auto& words = session.arguments.words();
    if (words.size() != 2) {
        return base::fail(Code::usage, "build takes a file and an image",
                          "slipway build OUT.sif docker://debian:12");
    }
    if (words[1].ends_with(".def")) {
        return base::fail(Code::unsupported, "this version does not build from definition files",
                          "build from an image: slipway build OUT.sif docker://debian:12");
    }
    return build_file(session, words[1], words[0]);
}

} // namespace slipway::cli::images
