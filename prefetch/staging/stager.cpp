// SPDX-License-Identifier: Apache-2.0
#include "prefetch/staging/stager.hpp"

#include "base/format.hpp"
#include "base/log.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "prefetch/staging/conversion.hpp"
#include "store/process_id.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <variant>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace slipway::prefetch::staging {
namespace {

using base::Code;

base::Result<stage::StagedImage> advised(base::Result<stage::StagedImage> image) {
    if (!image) {
        return base::Unexpected(with_advice(std::move(image).error()));
    }
    return image;
}

/// The same image under its digest, whatever tag it was asked for by: "docker://host/path@digest".
std::string with_digest(const image::ImageUri& uri, const image::Digest& digest) {
    auto named = uri;
    named.reference.tag.clear();
    named.reference.digest = digest;
    return named.text();
}

/// What a job is pinned to: as it was asked for, tag included, with the digest that it meant.
std::string pinned_reference(const image::ImageUri& uri, const image::Digest& digest) {
    auto named = uri;
    named.reference.digest = digest;
    return named.text();
}

bool has_registry(const image::ImageUri& uri) {
    return uri.transport == image::Transport::docker;
}

base::Result<image::ImageUri> parse_uri(const stage::StageRequest& request, bool for_service) {
    const auto exists = [&](const std::string& path) {
        struct stat st {};
        return !for_service && ::stat(path.c_str(), &st) == 0;
    };
    TRY_ASSIGN(auto uri, image::parse_image(request.reference, exists));
    if (for_service && !has_registry(uri)) {
        return base::fail(Code::unsupported,
                          fmt::format("the service does not fetch {} images",
                                      image::transport_name(uri.transport)),
                          "stage it in your own process with `slipway stage`");
    }
    return uri;
}

/// The name under which an image is recorded; of a file the absolute one, which means the same
/// wherever it is asked for.
base::Result<std::string> canonical_reference(const image::ImageUri& uri) {
    if (uri.is_remote() || uri.path.starts_with('/')) {
        return uri.text();
    }
    TRY_ASSIGN(const auto here, base::current_directory());
    // Only joined: ".." behind a symlink is the kernel's to resolve.
    std::string_view path(uri.path);
    while (path.starts_with("./")) {
        path.remove_prefix(2);
    }
    auto named = uri;
    named.path = base::join_path(here, path);
    return named.text();
}

/// What stands in an image id for how its bytes were made.
std::string_view format_of(const sources::ResolvedImage& image) {
    return std::holds_alternative<sources::FinishedFile>(image.content) ? finished_format
                                                                        : image_format;
}

} // namespace

std::string conversion_options_text(const config::ConvertConfig& config) {
    const auto& compressor = squashfs::facts_of(config.compression);
    const auto level =
        config.level != 0 ? static_cast<int>(config.level) : compressor.default_level;
    return fmt::format("{}-{} block={} owners=squashed", compressor.name, level,
                       config.block_size);
}

struct Stager::Work {
    const stage::StageRequest& request;
    const stage::StageSink& sink;
    std::stop_token stop;
    image::ImageUri uri;
    image::Platform platform;
    std::string reference; ///< canonical
    std::chrono::steady_clock::time_point started = std::chrono::steady_clock::now();
};

Stager::Stager(StagerOptions options, StagerParts parts, store::Store store,
               std::vector<store::Store> also, std::shared_ptr<transfer::HttpClient> client)
    : options_(std::move(options)), parts_(std::move(parts)), store_(std::move(store)),
      also_(std::move(also)), client_(std::move(client)),
      // The service goes on, and a mirror may be back soon; others end with their request.
      silent_(std::make_shared<sources::SilentHosts>(
          options_.for_service ? std::optional(std::chrono::seconds(60)) : std::nullopt)) {}

base::Result<std::unique_ptr<Stager>> Stager::create(StagerOptions options, StagerParts parts) {
    TRY_ASSIGN(auto store, store::Store::open(options.store));
    std::vector<store::Store> also;
    for (auto& look : options.also_look) {
        look.access = store::Access::read_only;
        if (auto opened = store::Store::open(look)) {
            also.push_back(std::move(*opened));
        }
    }
    transfer::HttpClient::Options client_options;
    client_options.addresses = sources::address_policy(*options.config, options.for_service);
    TRY_ASSIGN(auto client, transfer::HttpClient::create(std::move(client_options)));
    return std::unique_ptr<Stager>(
        new Stager(std::move(options), std::move(parts), std::move(store), std::move(also),
                   std::move(client)));
}

base::Result<Stager::Work> Stager::begin(const stage::StageRequest& request, const stage::StageSink& sink,
                                         std::stop_token stop) const {
    TRY_ASSIGN(auto uri, parse_uri(request, options_.for_service));
    auto platform = image::host_platform();
    if (!request.platform.empty()) {
        TRY_ASSIGN(platform, image::parse_platform(request.platform));
    }
    TRY_ASSIGN(auto reference, canonical_reference(uri));
    return Work{request,        sink, std::move(stop), std::move(uri), std::move(platform),
                std::move(reference)};
}

base::Result<std::unique_ptr<sources::Source>> Stager::source_for(const Work& work,
                                                         int spool) const {
    sources::SourceContext context;
    context.client = client_;
    context.config = options_.config;
    context.credentials = options_.credentials;
    context.anonymous_first = options_.for_service;
    context.no_https = options_.no_https;
    context.retry = options_.retry;
    context.silent = silent_;
    context.spool = spool;
    return parts_.make_source(work.uri, std::move(context));
}

std::optional<stage::StagedImage> Stager::present(const store::ImageId& id) const {
    const auto look = [&](const store::Store& store) -> std::optional<stage::StagedImage> {
        const auto found = store.find_again(id);
        if (!found) {
            return std::nullopt;
        }
        stage::StagedImage staged;
        staged.id = id;
        staged.path = found->path;
        staged.size = found->size;
        staged.was_present = true;
        if (const auto provenance = store.provenance(id)) {
            staged.digest = provenance->manifest_digest;
        }
        return staged;
    };
    for (const auto& store : also_) {
        if (auto staged = look(store)) {
            return staged;
        }
    }
    return look(store_);
}

/// The image that a reference was last known to mean, when it is still there.
std::optional<stage::StagedImage> Stager::recorded(const Work& work, const std::string& reference) const {
    const auto look = [&](const store::Store& store) -> std::optional<stage::StagedImage> {
        const auto record = store.latest_ref(reference, work.platform.text());
        // An id made with other conversion options is another image.
        if (!record || (record->id != id_of(work, record->digest, image_format) &&
                        record->id != id_of(work, record->digest, finished_format))) {
            return std::nullopt;
        }
        auto staged = present(record->id);
        const auto digest = image::Digest::parse(record->digest);
        if (staged && digest) {
            staged->digest = record->digest;
            staged->reference =
                has_registry(work.uri) ? pinned_reference(work.uri, *digest) : work.reference;
        }
        return staged;
    };
    for (const auto& store : also_) {
        if (auto staged = look(store)) {
            return staged;
        }
    }
    return look(store_);
}

/// One HEAD request: what the tag means now, and whether that is here already.
base::Result<std::optional<stage::StagedImage>> Stager::ask_registry(const Work& work,
                                                              sources::Source& source) const {
    work.sink({stage::Phase::resolving, 0, 0, {}, {}});
    const auto head = source.head(work.platform, work.stop);
    if (head) {
        return recorded(work, with_digest(work.uri, head->digest));
    }
    const auto code = head.error().code;
    const bool no_answer = code == Code::source_unreachable || code == Code::source_rate_limited ||
                           code == Code::timed_out;
    auto last = recorded(work, work.reference);
    if (no_answer && last && work.request.pull == stage::PullPolicy::missing) {
        base::log(base::LogLevel::warning,
                  fmt::format("using {} as it was last known: {}", work.reference,
                              head.error().one_line()));
        return last;
    }
    return base::Unexpected(head.error());
}

base::Result<stage::StagedImage> Stager::stage(const stage::StageRequest& request, const stage::StageSink& sink,
                                        std::stop_token stop) const {
    return advised(find_or_make(request, sink, std::move(stop)));
}

base::Result<stage::StagedImage> Stager::build(const stage::StageRequest& request, const std::string& path,
                                        const stage::StageSink& sink, std::stop_token stop) const {
    return advised(build_file(request, path, sink, std::move(stop)));
}

base::Result<stage::StagedImage> Stager::find_or_make(const stage::StageRequest& request, const stage::StageSink& sink,
                                               std::stop_token stop) const {
    TRY_ASSIGN(const auto work, begin(request, sink, std::move(stop)));
    const bool pinned = has_registry(work.uri) && !work.uri.reference.digest.empty();
    if (pinned || request.pull == stage::PullPolicy::never) {
        // A digest means the same for ever: no network.
        auto image = recorded(
            work, pinned ? with_digest(work.uri, work.uri.reference.digest) : work.reference);
        if (image) {
            grant(*image, request.uid);
            return std::move(*image);
        }
        if (request.pull == stage::PullPolicy::never) {
            return base::fail(Code::not_staged, work.reference + " is not in the store",
                              "stage it first, or ask without --pull=never");
        }
    }
    if (has_registry(work.uri) && !pinned) {
        TRY_ASSIGN(const auto source, source_for(work, -1));
        TRY_ASSIGN(auto image, ask_registry(work, *source));
        if (image) {
            grant(*image, request.uid);
            return std::move(*image);
        }
    }
    (void)store_.sweep();
    TRY_ASSIGN(const auto dir, store_.make_work_dir());
    TRY_ASSIGN(const auto source, source_for(work, dir.directory()));
    return resolve_and_stage(work, *source, dir);
}

base::Result<stage::StagedImage> Stager::resolve_and_stage(const Work& work, sources::Source& source,
                                                    const store::WorkDir& dir) const {
    work.sink({stage::Phase::resolving, 0, 0, {}, {}});
    TRY_ASSIGN(const auto image, source.resolve(work.platform, work.stop));
    stage::StagedImage staged;
    staged.reference = has_registry(work.uri) ? image.canonical_reference : work.reference;
    staged.digest = image.manifest_digest.text();
    staged.id = id_of(work, staged.digest, format_of(image));
    staged.path = store_.image_path(staged.id);
    work.sink({stage::Phase::resolved, 0, 0, {}, staged});
    if (image.users_own_credentials && store_.options().access == store::Access::shared) {
        return base::fail(Code::source_denied,
                          work.reference + " needs credentials of your own",
                          "stage it in your own process: it does not belong into a shared store");
    }
    auto finish = [&](stage::StagedImage done) {
        done.reference = staged.reference;
        done.digest = staged.digest;
        remember(work, image, done);
        return done;
    };
    if (auto there = present(staged.id)) {
        return finish(std::move(*there));
    }
    store::Acquisition acquisition(store_, staged.id);
    TRY_ASSIGN(auto claim, acquisition.wait(
                              [&](const store::Wait& wait) {
                                  work.sink({stage::Phase::waiting, 0, 0, wait.holder, {}});
                              },
                              work.stop));
    if (const auto* stored = std::get_if<store::StoredImage>(&claim)) {
        staged.path = stored->path;
        staged.size = stored->size;
        staged.was_present = true;
        return finish(staged);
    }
    TRY_ASSIGN(auto made, make(work, image, staged, dir));
    return finish(std::move(made));
}

/// Of the conversion; "" for what is not converted.
std::string Stager::options_text(std::string_view format) const {
    return format == image_format ? conversion_options_text(options_.config->convert)
                                  : std::string();
}

store::ImageId Stager::id_of(const Work& work, const std::string& digest,
                             std::string_view format) const {
    return store::image_id(digest, work.platform.text(), options_text(format), format);
}

/// Makes the image in an empty file. Warnings of the converter are logged.
base::Result<convert::ConvertReport> Stager::fill(const Work& work,
                                                  const sources::ResolvedImage& image,
                                                  const image::NativeSource& definition,
                                                  int out_fd) const {
    if (const auto* file = std::get_if<sources::FinishedFile>(&image.content)) {
        return take_finished(image, *file, work.uri.path, out_fd, parts_.check, work.sink,
                             work.stop);
    }
    auto report = parts_.convert(std::get<sources::LayeredImage>(image.content), definition,
                                 *options_.config, out_fd, work.sink, work.stop);
    if (report) {
        for (const auto& warning : report->warnings) {
            base::log(base::LogLevel::warning, image.canonical_reference + ": " + warning);
        }
    }
    return report;
}

base::Result<stage::StagedImage> Stager::make(const Work& work, const sources::ResolvedImage& image,
                                       stage::StagedImage staged, const store::WorkDir& dir) const {
    TRY(store_.reserve(bytes_needed(image), work.request.uid));
    constexpr const char* sif = "image.sif";
    TRY_ASSIGN(auto file, dir.create(sif));
    // The definition names the image by its digest alone: equal manifests give equal bytes.
    const image::NativeSource source{image.origin_kind, staged.digest, std::string(image_format)};
    TRY_ASSIGN(const auto report, fill(work, image, source, file.get()));
    TRY(file.close());
    work.sink({stage::Phase::publishing, 0, 0, {}, {}});
    store::Provenance what;
    what.id = staged.id;
    what.reference = work.reference;
    what.origin = image.origin_kind;
    what.manifest_digest = staged.digest;
    what.platform = work.platform.text();
    what.options = options_text(format_of(image));
    what.format = format_of(image);
    what.output_digest = report.output.text();
    what.output_size = report.image_bytes;
    if (const auto* layered = std::get_if<sources::LayeredImage>(&image.content)) {
        for (const auto& layer : layered->layers) {
            what.layers.push_back(layer.blob.digest.text());
        }
    }
    what.uid = work.request.uid;
    what.host = store::ProcessId::self().host;
    what.created = ::time(nullptr);
    what.duration_ms = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                              work.started)
            .count());
    what.tool_version = SLIPWAY_VERSION;
    what.private_credentials = image.users_own_credentials;
    TRY_ASSIGN(const auto stored, store_.publish(staged.id, dir, sif, what));
    staged.path = stored.path;
    staged.size = stored.size;
    return staged;
}

/// Records and grants only save work later: a store that is full now has the image all the same.
void Stager::remember(const Work& work, const sources::ResolvedImage& image,
                      const stage::StagedImage& staged) const {
    const auto record = [&](const std::string& reference) {
        const auto last = store_.latest_ref(reference, work.platform.text());
        if (last && last->id == staged.id) {
            return;
        }
        const auto done = store_.record_ref({reference, staged.digest, work.platform.text(),
                                             staged.id, ::time(nullptr)});
        if (!done) {
            base::log(base::LogLevel::warning, done.error().one_line());
        }
    };
    record(work.reference);
    if (has_registry(work.uri)) {
        record(with_digest(work.uri, image.root_digest));
        record(with_digest(work.uri, image.manifest_digest));
    }
    grant(staged, work.request.uid);
}

base::Result<image::OpenImage> Stager::open_image(const stage::StagedImage& image) const {
    const auto holds = [&](const store::Store& store) {
        return image.path == store.image_path(image.id);
    };
    const auto other = std::find_if(also_.begin(), also_.end(), holds);
    return (other != also_.end() ? *other : store_).open_image(image.id);
}

/// Only in the store where the image is: a grant elsewhere protects nothing. The site's store takes
/// grants from the service alone; a full store has the image all the same.
void Stager::grant(const stage::StagedImage& image, uid_t uid) const {
    if (image.path != store_.image_path(image.id)) {
        return;
    }
    if (const auto done = store_.grant(image.id, uid); !done) {
        base::log(base::LogLevel::warning, done.error().one_line());
    }
}

base::Result<stage::StagedImage> Stager::build_file(const stage::StageRequest& request, const std::string& path,
                                             const stage::StageSink& sink, std::stop_token stop) const {
    TRY_ASSIGN(const auto work, begin(request, sink, std::move(stop)));
    (void)store_.sweep();
    TRY_ASSIGN(const auto dir, store_.make_work_dir());
    TRY_ASSIGN(const auto source, source_for(work, dir.directory()));
    work.sink({stage::Phase::resolving, 0, 0, {}, {}});
    TRY_ASSIGN(const auto image, source->resolve(work.platform, work.stop));
    // Written beside its place and linked there when it is whole: nobody sees half a file, and a
    // file that appeared meanwhile is not overwritten.
    const auto part = fmt::format("{}.part.{}", path, ::getpid());
    auto write = [&]() -> base::Result<convert::ConvertReport> {
        TRY_ASSIGN(auto file, base::open_file(part, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0777));
        TRY_ASSIGN(auto report,
                   fill(work, image, image::native_source(request.reference, SLIPWAY_VERSION),
                        file.get()));
        sink({stage::Phase::publishing, 0, 0, {}, {}});
        if (::fsync(file.get()) != 0) {
            return base::fail_errno(Code::io, errno, "cannot save " + base::in_quotes(path));
        }
        TRY(file.close());
        if (::link(part.c_str(), path.c_str()) != 0) {
            return base::fail_errno(errno == EEXIST ? Code::image_exists : Code::io, errno,
                                    "cannot create " + base::in_quotes(path),
                                    errno == EEXIST ? "--force overwrites it" : "");
        }
        return report;
    };
    auto report = write();
    ::unlink(part.c_str());
    if (!report) {
        return base::Unexpected(std::move(report.error()));
    }
    stage::StagedImage staged;
    staged.reference = image.canonical_reference;
    staged.digest = image.manifest_digest.text();
    staged.path = path;
    staged.size = report->image_bytes;
    return staged;
}

} // namespace slipway::prefetch::staging
