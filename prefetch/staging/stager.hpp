// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/config.hpp"
#include "prefetch/sources/source.hpp"
#include "prefetch/stage/stage_types.hpp"
#include "prefetch/staging/conversion.hpp"
#include "prefetch/staging/finished.hpp"
#include "store/lease.hpp"
#include "store/store.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace slipway::prefetch::staging {

/// What the converter writes. A change of the output for equal input changes this text, and with it
/// every image id.
inline constexpr std::string_view image_format = "slipway-sif-2";

/// The same for images that are kept as they are: their content decides, nothing that we do to it.
inline constexpr std::string_view finished_format = "finished-1";

/// Canonical text of the options that decide the bytes of an image.
std::string conversion_options_text(const config::ConvertConfig& config);

struct StagerOptions {
    std::shared_ptr<const config::Config> config;
    store::StoreOptions store;                  ///< where images are staged
    std::vector<store::StoreOptions> also_look; ///< read-only stores that are looked into first
    credentials::CredentialFinder::Options credentials;
    bool for_service = false; ///< whoever asks is a client: only public addresses, no local files
    bool no_https = false;
    transfer::RetryPolicy retry;
};

/// What the engine works with: where images come from, and what makes a file of them.
struct StagerParts {
    using MakeSource = std::function<base::Result<std::unique_ptr<sources::Source>>(
        const image::ImageUri&, const sources::SourceContext&)>;
    using Convert = std::function<base::Result<convert::ConvertReport>(
        const sources::LayeredImage&, const image::NativeSource&, const config::Config&, int out_fd,
        const stage::StageSink&, std::stop_token)>;
    MakeSource make_source = sources::make_source;
    Convert convert = convert_image;
    CheckFinished check = [](int fd, const convert::FinishedCheck& wanted, std::stop_token stop) {
        return convert::check_isolated(fd, wanted, std::move(stop));
    };
};

/// From a reference to an image in a store: look it up, fetch, convert or copy, publish; once for everybody
/// who wants it at the same time, on all hosts that share the store. Safe to use from many threads.
class Stager {
  public:
    static base::Result<std::unique_ptr<Stager>> create(StagerOptions options,
                                                        StagerParts parts = {});

    /// See StageFunction. What is named as staged was looked for in its store, and `reference` says
    /// the same in every run: tag, if there was one, and digest. With PullPolicy::missing a reference
    /// with a digest that is there costs no network; a tag costs one HEAD request, and when the
    /// registry does not answer, what the tag meant last is used with a warning.
    base::Result<stage::StagedImage> stage(const stage::StageRequest& request, const stage::StageSink& sink,
                                    std::stop_token stop) const;

    /// Makes the image straight in a new file outside of any store (build, pull). `path` must not
    /// exist.
    base::Result<stage::StagedImage> build(const stage::StageRequest& request, const std::string& path,
                                    const stage::StageSink& sink, std::stop_token stop) const;

    /// Opens what stage() has given, in its store.
    base::Result<image::OpenImage> open_image(const stage::StagedImage& image) const;

    [[nodiscard]] const store::Store& store() const noexcept { return store_; }

  private:
    struct Work; // one request on its way
    Stager(StagerOptions options, StagerParts parts, store::Store store,
           std::vector<store::Store> also, std::shared_ptr<transfer::HttpClient> client);

    base::Result<stage::StagedImage> find_or_make(const stage::StageRequest& request, const stage::StageSink& sink,
                                           std::stop_token stop) const;
    base::Result<stage::StagedImage> build_file(const stage::StageRequest& request, const std::string& path,
                                         const stage::StageSink& sink, std::stop_token stop) const;
    base::Result<Work> begin(const stage::StageRequest& request, const stage::StageSink& sink,
                             std::stop_token stop) const;
    base::Result<std::unique_ptr<sources::Source>> source_for(const Work& work,
                                                     int spool) const;
    [[nodiscard]] std::optional<stage::StagedImage> recorded(const Work& work,
                                                      const std::string& reference) const;
    [[nodiscard]] std::optional<stage::StagedImage> present(const store::ImageId& id) const;
    base::Result<std::optional<stage::StagedImage>> ask_registry(const Work& work, sources::Source& source) const;
    base::Result<stage::StagedImage> resolve_and_stage(const Work& work, sources::Source& source,
                                                const store::WorkDir& dir) const;
    [[nodiscard]] std::string options_text(std::string_view format) const;
    [[nodiscard]] store::ImageId id_of(const Work& work, const std::string& digest,
                                       std::string_view format) const;
    base::Result<convert::ConvertReport> fill(const Work& work, const sources::ResolvedImage& image,
                                              const image::NativeSource& definition, int out_fd) const;
    base::Result<stage::StagedImage> make(const Work& work, const sources::ResolvedImage& image,
                                   stage::StagedImage staged, const store::WorkDir& dir) const;
    void grant(const stage::StagedImage& image, uid_t uid) const;
    void remember(const Work& work, const sources::ResolvedImage& image, const stage::StagedImage& staged) const;

    StagerOptions options_;
    StagerParts parts_;
    store::Store store_;
    std::vector<store::Store> also_;
    std::shared_ptr<transfer::HttpClient> client_;
    std::shared_ptr<sources::SilentHosts> silent_;
};

} // namespace slipway::prefetch::staging
