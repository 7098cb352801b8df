// SPDX-License-Identifier: Apache-2.0
#include "prefetch/sources/registry_endpoint.hpp"

#include "base/format.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "prefetch/transfer/error_body.hpp"

namespace slipway::prefetch::sources {
namespace {

using base::Code;
using base::fail;

/// A blob from the network that another thread can end.
class HttpByteSource : public base::ByteSource {
  public:
    HttpByteSource(std::unique_ptr<std::stop_source> stop, const std::stop_token& outer,
                   std::unique_ptr<transfer::BlobStream> stream)
        : stop_(std::move(stop)), follow_(outer, Forward{stop_.get()}), stream_(std::move(stream)) {}
    base::Result<std::size_t> read(std::span<std::uint8_t> buffer) override {
        return stream_->read(buffer);
    }
    void cancel() noexcept override { stop_->request_stop(); }

  private:
    struct Forward {
        std::stop_source* to;
        void operator()() const noexcept { to->request_stop(); }
    };
    std::unique_ptr<std::stop_source> stop_;
    std::stop_callback<Forward> follow_;
    std::unique_ptr<transfer::BlobStream> stream_;
};

base::Result<std::unique_ptr<base::ByteSource>> open_stream(transfer::FetchContext context, transfer::FetchRequest request,
                                                      const image::Descriptor& blob,
                                                      const std::stop_token& outer) {
    auto stop = std::make_unique<std::stop_source>();
    std::unique_ptr<transfer::BlobStream> stream;
    {
        const std::stop_callback follow(outer, [&] { stop->request_stop(); });
        context.stop = stop->get_token();
        transfer::BlobStream::Expectation expected;
        expected.size = blob.size;
        TRY_ASSIGN(stream, transfer::BlobStream::open(std::move(context), std::move(request), expected));
    }
    return std::unique_ptr<base::ByteSource>(
        std::make_unique<HttpByteSource>(std::move(stop), outer, std::move(stream)));
}

base::Result<image::Digest> digest_of(std::string_view body, const image::Digest& like) {
    image::Hasher hasher(like);
    hasher.update(body);
    auto digest = hasher.finish();
    if (digest.empty()) {
        return fail(Code::system, "cannot compute a digest");
    }
    return digest;
}

} // namespace

transfer::Url RegistryEndpoint::url(std::string_view path) const {
    transfer::Url made = options_.base;
    made.target = fmt::format("/v2/{}/{}", options_.repository, path);
    return made;
}

transfer::HttpRequest RegistryEndpoint::request(std::string_view path) const {
    transfer::HttpRequest made;
    made.url = url(path);
    made.ca_file = options_.ca_file;
    return made;
}

/// fetch(), and again with credentials where an anonymous token was not enough.
base::Result<transfer::Fetched> RegistryEndpoint::ask(transfer::HttpRequest http, std::size_t max_body,
                                            const std::stop_token& stop) const {
    auto context = options_.context;
    context.stop = stop;
    const transfer::FetchRequest request{std::move(http), options_.auth};
    TRY_ASSIGN(auto reply, transfer::fetch(context, request, max_body));
    if (reply.head.status == 401 || reply.head.status == 403 || reply.head.status == 404) {
        TRY_ASSIGN(const bool again, options_.auth->escalate(stop));
        if (again) {
            return transfer::fetch(context, request, max_body);
        }
    }
    return reply;
}

base::Unexpected RegistryEndpoint::refused(const transfer::Fetched& reply) const {
    auto error = transfer::status_error(reply.url, reply.head, reply.body);
    const auto doubt = options_.auth->doubt();
    if (reply.head.status == 401 && !doubt.empty()) {
        error.hint = doubt;
    }
    return base::Unexpected(std::move(error));
}

base::Result<RemoteHead> RegistryEndpoint::head(const std::string& tag,
                                                const std::stop_token& stop) const {
    auto http = request("manifests/" + tag);
    http.method = "HEAD";
    http.headers.emplace_back("Accept", image::media::accept_manifest);
    TRY_ASSIGN(const auto reply, ask(std::move(http), 0, stop));
    if (reply.head.status == 200) {
        auto digest = image::Digest::parse(reply.head.headers.get("Docker-Content-Digest"));
        const auto kind =
            image::media_kind(transfer::media_type_of(reply.head.headers.get("Content-Type")));
        if (digest && (kind == image::MediaKind::index || kind == image::MediaKind::manifest)) {
            return RemoteHead{std::move(*digest), kind == image::MediaKind::index};
        }
    } else if (reply.head.status == 401) {
        return refused(reply);
    }
    // Nexus and others answer HEAD with 404, 403, 400 or 501 where GET works: GET has the last word.
    TRY_ASSIGN(const auto document, manifest(tag, stop));
    TRY_ASSIGN(const auto parsed, image::parse_document(document.body, document.content_type));
    return RemoteHead{document.digest, std::holds_alternative<image::Index>(parsed)};
}

base::Result<RawDocument> RegistryEndpoint::manifest(const std::string& selector,
                                                     const std::stop_token& stop) const {
    auto http = request("manifests/" + selector);
    http.headers.emplace_back("Accept", image::media::accept_manifest);
    TRY_ASSIGN(auto reply, ask(std::move(http), image::max_document, stop));
    if (reply.head.status != 200) {
        return refused(reply);
    }
    RawDocument document;
    document.content_type = std::string(reply.head.headers.get("Content-Type"));
    document.body = std::move(reply.body);
    const auto asked = image::Digest::parse(selector);
    const auto claimed = image::Digest::parse(reply.head.headers.get("Docker-Content-Digest"));
    if (asked) {
        TRY_ASSIGN(document.digest, digest_of(document.body, *asked));
        TRY(image::require_digest(document.digest, *asked, "manifest of " + options_.repository));
        return document;
    }
    document.digest = image::sha256(document.body);
    if (claimed) {
        TRY_ASSIGN(const auto actual, digest_of(document.body, *claimed));
        TRY(image::require_digest(actual, *claimed, "manifest of " + options_.repository));
    }
    return document;
}

base::Result<std::string> RegistryEndpoint::small_blob(const image::Descriptor& blob,
                                                       const std::stop_token& stop) const {
    if (blob.size > image::max_document) {
        return fail(Code::limit_exceeded,
                    fmt::format("the image configuration has {}", base::size_text(blob.size)));
    }
    TRY_ASSIGN(auto reply, ask(request("blobs/" + blob.digest.text()),
                               static_cast<std::size_t>(blob.size), stop));
    if (reply.head.status != 200) {
        return refused(reply);
    }
    return std::move(reply.body);
}

base::Result<std::unique_ptr<base::ByteSource>>
RegistryEndpoint::open_blob(const image::Descriptor& blob, const std::stop_token& stop) const {
    transfer::FetchRequest wanted{request("blobs/" + blob.digest.text()), options_.auth};
    wanted.http.max_bytes_per_second = options_.max_bytes_per_second;
    auto opened = open_stream(options_.context, std::move(wanted), blob, stop);
    if (!opened && opened.error().code != Code::interrupted &&
        image::is_foreign_layer(blob.media_type) && !blob.urls.empty()) {
        return open_foreign(blob, std::move(opened).error(), stop);
    }
    return opened;
}

/// Foreign layers lie at vendors' servers, which learn nothing about who asks.
base::Result<std::unique_ptr<base::ByteSource>>
RegistryEndpoint::open_foreign(const image::Descriptor& blob, base::Error registry_error,
                               const std::stop_token& stop) const {
    for (const auto& text : blob.urls) {
        auto foreign = transfer::Url::parse(text);
        const auto& plain_ok = options_.context.plain_http_ok;
        if (!foreign || (foreign->plain_http() && !(plain_ok && plain_ok(*foreign)))) {
            continue;
        }
        transfer::FetchRequest wanted;
        wanted.http.url = std::move(*foreign);
        auto opened = open_stream(options_.context, std::move(wanted), blob, stop);
        if (opened || opened.error().code == Code::interrupted) {
            return opened;
        }
        base::log(base::LogLevel::info, opened.error().one_line());
    }
    return base::Unexpected(std::move(registry_error));
}

} // namespace slipway::prefetch::sources
