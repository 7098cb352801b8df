// SPDX-License-Identifier: Apache-2.0
#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "base/words.hpp"
#include "image/reference.hpp"

#include <algorithm>
#include <iterator>
#include <vector>

namespace slipway::image {
namespace {

using base::Code;
using base::fail;
using base::in_quotes;

/// Ends of names that nobody gives to anything but image files.
constexpr std::string_view image_suffixes[] = {".sif",    ".sqsh", ".sqfs", ".squashfs",
                                               ".squash", ".simg", ".img"};

bool ends_like_image_file(std::string_view text) noexcept {
    return std::any_of(std::begin(image_suffixes), std::end(image_suffixes),
                       [&](std::string_view suffix) { return text.ends_with(suffix); });
}

bool is_path_word(std::string_view text) noexcept {
    return text.starts_with('/') || text.starts_with("./") || text.starts_with("../") ||
           text.starts_with("~/") || text == "." || text == ".." || text == "~";
}

std::string prefix_of(std::string_view name) {
    const auto* const row =
        std::find_if(std::begin(transport_table), std::end(transport_table),
                     [&](const TransportRow& candidate) { return candidate.name == name; });
    return row->prefix();
}

base::Unexpected unknown_transport(std::string_view text) {
    const auto scheme = text.substr(0, text.find("://"));
    std::vector<std::string_view> names;
    for (const auto& row : transport_table) {
        if (row.use != Use::none) {
            names.push_back(row.name);
        }
    }
    if (scheme == "oci-sif" || scheme == "podman" || scheme == "containers-storage") {
        return fail(Code::reference_invalid,
                    fmt::format("the transport {} is not supported", in_quotes(scheme)),
                    "save the image with oci-archive: or push it to a registry");
    }
    const auto near = base::did_you_mean(scheme, names);
    return fail(Code::reference_invalid,
                fmt::format("{} has the unknown transport {}", in_quotes(text), in_quotes(scheme)),
                near.empty() ? "known are " + transport_list(Use::start)
                             : fmt::format("did you mean {}?", prefix_of(near)));
}

std::string_view without_slashes(std::string_view rest) noexcept {
    return rest.starts_with("//") ? rest.substr(2) : rest;
}

/// "sha1:0123…": looks meant as a digest, also with an algorithm that we do not know.
bool looks_like_digest(std::string_view text) noexcept {
    const auto colon = text.find(':');
    if (colon == std::string_view::npos ||
        text.substr(0, colon).find_first_of("/@#") != std::string_view::npos) {
        return false;
    }
    const auto hex = text.substr(colon + 1);
    return text.starts_with("sha256:") || text.starts_with("sha512:") ||
           (hex.size() >= 32 && std::all_of(hex.begin(), hex.end(),
                                            [](char c) { return base::hex_value(c) >= 0; }));
}

/// Takes enroot's "USER@" off the front. The user may have any visible character except / : @ #.
Result<std::string_view> take_user(std::string_view text, ImageUri& uri) {
    const auto front = text.substr(0, text.find('#'));
    const auto at = front.find('@');
    if (at == std::string_view::npos || looks_like_digest(text.substr(at + 1))) {
        return text;
    }
    const auto user = front.substr(0, at);
    if (user.empty() || user.find_first_of("/:") != std::string_view::npos) {
        // Not the text itself: it may hold a password.
        return fail(Code::reference_invalid, "the image reference has an '@' that starts no digest",
                    "a digest is written NAME@sha256:DIGITS, a user name USER@REGISTRY#NAME; never "
                    "write a password, docker login and podman login keep it");
    }
    uri.user = std::string(user);
    return text.substr(at + 1);
}

Result<void> parse_docker(std::string_view rest, ImageUri& uri) {
    TRY_ASSIGN(const auto named, take_user(without_slashes(rest), uri));
    TRY_ASSIGN(uri.reference, parse_reference_or_enroot(named));
    return {};
}

/// Splits "path:selector" or "path@digest". Every place that could be the border is tried with
/// `exists`, longest path first; when nothing exists the first ':' is the border (the rule of
/// containers/image), because names of images may have one, too.
void split_local(std::string_view text, const PathExists& exists, ImageUri& uri) {
    const auto set = [&](std::size_t border) {
        uri.path = std::string(text.substr(0, border));
        const auto behind = border < text.size() ? text.substr(border) : std::string_view();
        uri.selector = std::string(behind.starts_with(':') ? behind.substr(1) : behind);
    };
    if (exists) {
        std::vector<std::size_t> borders = {text.size()};
        for (std::size_t i = text.size(); i-- > 1;) {
            if (text[i] == ':' || text.substr(i).starts_with("@sha256:") ||
                text.substr(i).starts_with("@sha512:")) {
                borders.push_back(i);
            }
        }
        for (const auto border : borders) {
            if (exists(std::string(text.substr(0, border)))) {
                set(border);
                return;
            }
        }
    }
    const auto digest = std::min(text.find("@sha256:"), text.find("@sha512:"));
    const auto colon = text.find(':', 1);
    set(std::min({digest, colon, text.size()}));
}

Result<void> parse_local(std::string_view rest, const PathExists& exists, ImageUri& uri) {
    const auto text = without_slashes(rest);
    if (text.empty()) {
        return fail(Code::reference_invalid,
                    fmt::format("{} names no file", in_quotes(uri.written)),
                    fmt::format("write {}PATH", transport_row(uri.transport).prefix()));
    }
    split_local(text, exists, uri);
    return {};
}

Result<void> parse_url(std::string_view written, ImageUri& uri) {
    const auto authority_at = written.find("://") + 3;
    const auto slash = std::min(written.find_first_of("/?#", authority_at), written.size());
    const auto authority = written.substr(authority_at, slash - authority_at);
    const auto wrong = [&](std::string_view why, std::string_view hint) {
        // Not the text itself: it may hold a password.
        return fail(Code::reference_invalid, fmt::format("the image's URL {}", why),
                    std::string(hint));
    };
    if (authority.find('@') != std::string_view::npos) {
        return wrong("has a user name in it",
                     "passwords in URLs are seen by everybody; leave it out");
    }
    if (authority.empty() || slash == written.size() || slash + 1 == written.size()) {
        return wrong("names no file on a host", "write https://HOST/PATH/IMAGE.sif");
    }
    if (std::any_of(written.begin(), written.end(), [](char c) {
            return static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) == 0x7F;
        })) {
        return wrong("has blanks or control characters", "write them as %20 and so on");
    }
    uri.path = std::string(written);
    return {};
}

Result<void> parse_rest(const TransportSplit& split, const PathExists& exists, ImageUri& uri) {
    switch (uri.transport) {
    case Transport::docker:
    case Transport::oras:
        return parse_docker(split.rest, uri);
    case Transport::library: {
        TRY_ASSIGN(uri.library, parse_library_reference(split.rest));
        return {};
    }
    case Transport::shub: {
        TRY_ASSIGN(uri.shub, parse_shub_reference(split.rest));
        return {};
    }
    case Transport::http:
    case Transport::https:
        return parse_url(uri.written, uri);
    case Transport::oci:
    case Transport::oci_archive:
    case Transport::docker_archive:
        return parse_local(split.rest, exists, uri);
    case Transport::docker_daemon:
    case Transport::instance:
    case Transport::file:
        break;
    }
    uri.path = std::string(without_slashes(split.rest));
    if (uri.path.empty()) {
        return fail(Code::reference_invalid,
                    fmt::format("{} names nothing", in_quotes(uri.written)));
    }
    if (uri.transport == Transport::instance &&
        uri.path.find_first_not_of(
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") !=
            std::string::npos) {
        return fail(Code::reference_invalid,
                    fmt::format("{} is not a name of an instance", in_quotes(uri.path)),
                    "names have letters, digits, '.', '_' and '-'");
    }
    return {};
}

std::string hash_part(const Digest& digest) {
    return std::string(digest.algorithm()) + "." + std::string(digest.hex().substr(0, 12));
}

} // namespace

bool ImageUri::is_remote() const noexcept {
    return transport_row(transport).network;
}

Result<void> require_use(const ImageUri& uri, Use use) {
    const auto& row = transport_row(uri.transport);
    if (row.can(use)) {
        return {};
    }
    return fail(Code::unsupported,
                fmt::format("{} cannot be used: this version does not {} {}", in_quotes(uri.written),
                            use == Use::fetch ? "fetch" : "take", row.prefix()),
                row.gives == Gives::file
                    ? std::string("download the image file by other means and name that file")
                    : fmt::format("use {}", transport_list(use, "or")));
}

std::string ImageUri::text() const {
    const auto prefix = transport_row(transport).prefix();
    switch (transport) {
    case Transport::docker:
    case Transport::oras:
        return prefix + reference.text();
    case Transport::library: {
        return prefix + (library.host.empty() ? "" : library.host + "/") + library.full_path() +
               ":" + base::joined(library.tags, ",");
    }
    case Transport::shub:
        return prefix + shub.registry + "/" + shub.user + "/" + shub.container + ":" +
               shub.tag + (shub.commit.empty() ? "" : "@" + shub.commit);
    case Transport::http:
    case Transport::https:
        return path;
    case Transport::file:
    case Transport::oci:
    case Transport::oci_archive:
    case Transport::docker_archive:
    case Transport::docker_daemon:
    case Transport::instance:
        break;
    }
    const bool digest = selector.starts_with("@sha256:") || selector.starts_with("@sha512:");
    return prefix + path + (selector.empty() ? "" : digest ? selector : ":" + selector);
}

Result<ImageWord> classify_image_word(std::string_view text) {
    if (text.empty()) {
        return fail(Code::reference_invalid, "the image has no name",
                    "write for example docker://ubuntu:24.04 or a path to a .sif file");
    }
    if (is_path_word(text)) {
        return ImageWord::path;
    }
    if (split_transport(text).row != nullptr) {
        return ImageWord::uri;
    }
    if (text.find("://") != std::string_view::npos) {
        return unknown_transport(text);
    }
    return text.find('#') != std::string_view::npos ? ImageWord::uri : ImageWord::unclear;
}

Result<ImageUri> parse_image_uri(std::string_view text, const PathExists& exists) {
    TRY_ASSIGN(const auto word, classify_image_word(text));
    if (word != ImageWord::uri) {
        return fail(
            Code::reference_invalid, fmt::format("{} has no transport", in_quotes(text)),
            fmt::format("write docker://{} for an image in a registry", base::printable(text)));
    }
    ImageUri uri;
    uri.written = std::string(text);
    const auto split = split_transport(text);
    if (split.row == nullptr) { // enroot's USER@REGISTRY#IMAGE
        uri.transport = Transport::docker;
        TRY(parse_docker(text, uri));
        return uri;
    }
    uri.transport = split.row->transport;
    TRY(parse_rest(split, exists, uri));
    return uri;
}

Result<ImageUri> parse_image(std::string_view text, const PathExists& exists,
                             Transport default_transport) {
    TRY_ASSIGN(const auto word, classify_image_word(text));
    if (word == ImageWord::uri) {
        return parse_image_uri(text, exists);
    }
    ImageUri uri;
    uri.written = std::string(text);
    if (word == ImageWord::path || (exists && exists(uri.written)) || ends_like_image_file(text)) {
        uri.transport = Transport::file;
        uri.path = uri.written;
        return uri;
    }
    uri.transport = default_transport;
    if (default_transport == Transport::library) {
        TRY_ASSIGN(uri.library, parse_library_reference(text));
    } else {
        TRY(parse_docker(text, uri));
    }
    return uri;
}

std::string default_file_name(const ImageUri& uri, std::string_view suffix) {
    const auto named = [&](std::string_view path, std::string_view tag) {
        return fmt::format("{}_{}{}", base::base_name(path), tag, suffix);
    };
    switch (uri.transport) {
    case Transport::docker:
    case Transport::oras:
        return named(uri.reference.path, uri.reference.tag.empty() ? hash_part(uri.reference.digest)
                                                                   : uri.reference.tag);
    case Transport::library:
        return named(uri.library.path,
                     uri.library.tags.empty() ? "latest" : uri.library.tags.front());
    case Transport::shub:
        return named(uri.shub.container, uri.shub.tag);
    case Transport::http:
    case Transport::https: {
        const std::string_view url(uri.path);
        return std::string(base::base_name(url.substr(0, url.find_first_of("?#"))));
    }
    case Transport::file:
    case Transport::oci:
    case Transport::oci_archive:
    case Transport::docker_archive:
    case Transport::docker_daemon:
    case Transport::instance:
        break;
    }
    auto name = std::string(base::base_name(base::clean_path(uri.path)));
    if (const auto colon = name.find(':'); colon != std::string::npos) {
        name[colon] = '_';
    }
    if (const auto dot = name.rfind('.');
        dot != std::string::npos && dot > 0 && uri.transport != Transport::docker_daemon) {
        name.resize(dot);
    }
    return name + std::string(suffix);
}

} // namespace slipway::image
