// SPDX-License-Identifier: Apache-2.0
#include "prefetch/sources/source.hpp"

#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "image/definition.hpp"
#include "image/transports.hpp"
#include "prefetch/sources/local_source.hpp"
#include "prefetch/sources/registry_source.hpp"

#include <cerrno>
#include <string_view>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace slipway::prefetch::sources {
namespace {

using base::Code;

/// A path names no source: says what there is instead.
base::Unexpected no_source(const std::string& path) {
    const auto name = base::in_quotes(path);
    const auto fd = base::open_file(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (!fd) {
        const int err = fd.error().sys_errno;
        return base::fail_errno(Code::image_not_found, err, "cannot open " + name,
                                err == ENOENT
                                    ? "check the path; images in a registry are written "
                                      "docker://NAME:TAG"
                                    : "");
    }
    struct stat st {};
    if (::fstat(fd->get(), &st) == 0 && S_ISDIR(st.st_mode)) {
        return base::fail(Code::unsupported, name + " is a directory, which is used as it is",
                          "an OCI layout is named oci:DIRECTORY");
    }
    std::string head(4096, '\0');
    const auto got = ::pread(fd->get(), head.data(), head.size(), 0);
    head.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    if (image::looks_like_definition(head)) {
        return base::fail(Code::unsupported,
                          name + " is a definition file, and this version does not build images from "
                                 "definition files",
                          fmt::format("take an image: {}", image::transport_examples));
    }
    return base::fail(Code::unsupported,
                      name + " is a file: it is used as it is, and nothing is fetched or converted",
                      fmt::format("images in archives are named {}",
                                  image::transport_list(image::Use::fetch, "or")));
}

} // namespace

base::Result<std::unique_ptr<Source>> make_source(const image::ImageUri& uri, SourceContext context) {
    switch (uri.transport) {
    case image::Transport::docker:
        return RegistrySource::create(uri, std::move(context));
    case image::Transport::oci:
    case image::Transport::oci_archive:
        return make_oci_source(uri, context);
    case image::Transport::docker_archive:
        return make_docker_archive_source(uri, context);
    case image::Transport::file:
        return no_source(uri.path);
    default:
        return base::Unexpected(image::require_use(uri, image::Use::fetch).error());
    }
}

transfer::AddressPolicy address_policy(const config::Config& config, bool public_only) {
    transfer::AddressPolicy policy;
    policy.public_only = public_only;
    for (const auto& [host, registry] : config.registries) {
        policy.trusted_hosts.insert(host);
        policy.trusted_hosts.insert(registry.mirrors.begin(), registry.mirrors.end());
    }
    return policy;
}

} // namespace slipway::prefetch::sources
