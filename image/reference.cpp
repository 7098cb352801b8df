// SPDX-License-Identifier: Apache-2.0
#include "image/reference.hpp"

#include "base/format.hpp"
#include "base/registry_host.hpp"
#include "base/text.hpp"
#include "base/words.hpp"

#include <algorithm>

namespace slipway::image {
namespace {

using base::Code;
using base::fail;
using base::in_quotes;

constexpr std::string_view default_registry = "docker.io";
constexpr std::size_t max_path = 255;
constexpr std::size_t max_tag = 128;

base::Unexpected bad(std::string_view text, std::string_view why, std::string hint = {}) {
    return fail(Code::reference_invalid,
                fmt::format("{} is not an image reference: {}", in_quotes(text), why),
                hint.empty() ? "write for example ubuntu:24.04 or nvcr.io/nvidia/pytorch:24.05-py3"
                             : std::move(hint));
}

/// One component of the path: words of [a-z0-9] joined by '.', '_', '__' or dashes.
bool is_path_component(std::string_view text) noexcept {
    std::size_t i = 0;
    for (;;) {
        const std::size_t word = i;
        while (i < text.size() && (base::is_lower(text[i]) || base::is_digit(text[i]))) {
            ++i;
        }
        if (i == word) {
            return false;
        }
        if (i == text.size()) {
            return true;
        }
        const auto rest = text.substr(i);
        if (rest.starts_with("__")) {
            i += 2;
        } else if (rest[0] == '.' || rest[0] == '_') {
            i += 1;
        } else if (rest[0] == '-') {
            i += std::min(rest.find_first_not_of('-'), rest.size());
        } else {
            return false;
        }
    }
}

bool is_tag(std::string_view text) noexcept {
    return !text.empty() && text.size() <= max_tag && (base::is_alphanumeric(text[0]) || text[0] == '_') &&
           std::all_of(text.begin(), text.end(),
                       [](char c) { return base::is_alphanumeric(c) || c == '_' || c == '.' || c == '-'; });
}

/// Explains what is wrong with a path that is known to be invalid.
base::Unexpected explain_path(std::string_view text, std::string_view path) {
    if (std::any_of(path.begin(), path.end(), [](char c) { return base::is_upper(c); })) {
        return bad(text, "upper case is not allowed in the name of a repository",
                   "did you mean " + in_quotes(base::to_lower(path)) + "?");
    }
    if (path.empty()) {
        return bad(text, "the name of the repository is missing");
    }
    if (path.front() == '/' || path.back() == '/' || path.find("//") != std::string_view::npos) {
        return bad(text, "there is an empty part between slashes");
    }
    if (path.size() > max_path) {
        return bad(text, fmt::format("the name of the repository has more than {} characters", max_path));
    }
    return bad(text, fmt::format("{} is not a valid repository name", in_quotes(path)),
               "names are lower-case letters and digits, joined by '.', '_', '-' and '/'");
}

bool is_path(std::string_view path) {
    const auto parts = base::split(path, '/');
    return path.size() <= max_path && std::all_of(parts.begin(), parts.end(), is_path_component);
}

/// Splits "path:tag@digest" and checks tag and digest; what remains in `path` is not checked yet.
Result<Reference> split_tail(std::string_view whole, std::string_view text) {
    Reference out;
    if (const auto at = text.rfind('@'); at != std::string_view::npos) {
        auto digest = Digest::parse(text.substr(at + 1));
        if (!digest) {
            return base::Unexpected(std::move(digest).error().context(in_quotes(whole)));
        }
        out.digest = std::move(*digest);
        text = text.substr(0, at);
    }
    const auto slash = text.rfind('/');
    const auto colon = text.rfind(':');
    if (colon != std::string_view::npos && (slash == std::string_view::npos || colon > slash)) {
        const auto tag = text.substr(colon + 1);
        if (tag.empty()) {
            return bad(whole, "there is a ':' but no tag behind it");
        }
        if (!is_tag(tag)) {
            return bad(whole, fmt::format("{} is not a valid tag", in_quotes(tag)),
                       "tags are up to 128 letters, digits, '.', '_' and '-'");
        }
        out.tag = std::string(tag);
        text = text.substr(0, colon);
    }
    if (out.tag.empty() && out.digest.empty()) {
        out.tag = "latest";
    }
    out.path = std::string(text);
    return out;
}

/// Checks registry and path and fills in Docker Hub's library/.
Result<Reference> complete(std::string_view whole, Reference out) {
    auto registry = base::canonical_registry_host(out.registry);
    if (!registry) {
        return bad(whole, fmt::format("{} is not a valid registry host", in_quotes(out.registry)),
                   "registries are written host or host:port");
    }
    out.registry = std::move(*registry);
    if (!is_path(out.path)) {
        return explain_path(whole, out.path);
    }
    if (out.registry == default_registry && out.path.find('/') == std::string::npos) {
        if (out.path.size() == 64 && base::is_lower_hex(out.path)) {
            return bad(whole, "64 hexadecimal digits are an identifier, not a name",
                       "write NAME@sha256:DIGITS to choose an image by its digest");
        }
        out.path = "library/" + out.path;
        if (!is_path(out.path)) {
            return explain_path(whole, out.path);
        }
    }
    return out;
}

Result<void> check_text(std::string_view text) {
    if (text.empty()) {
        return bad(text, "it is empty");
    }
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte <= 0x20 || byte >= 0x7F) {
            return bad(text, "it has blanks, control characters or non-ASCII letters");
        }
    }
    if (text.find("://") != std::string_view::npos) {
        return bad(text, "it has a transport in front", "leave out everything up to ://");
    }
    return {};
}

} // namespace

std::string Reference::text() const {
    std::string out = name();
    if (!tag.empty()) {
        out += ":" + tag;
    }
    if (!digest.empty()) {
        out += "@" + digest.text();
    }
    return out;
}

std::string Reference::api_host() const {
    return registry == default_registry ? "registry-1.docker.io" : registry;
}

std::string Reference::manifest_selector() const {
    return digest.empty() ? tag : digest.text();
}

Result<Reference> parse_reference(std::string_view text) {
    TRY(check_text(text));
    TRY_ASSIGN(auto out, split_tail(text, text));
    const auto slash = out.path.find('/');
    if (slash != std::string::npos &&
        base::names_registry_host(std::string_view(out.path).substr(0, slash))) {
        const auto first = out.path.substr(0, slash);
        // "Ubuntu/x" is a typo in a name, not a registry of that name.
        if (!first.empty() && first.find_first_of(".:") == std::string::npos &&
            base::to_lower(first) != "localhost") {
            return explain_path(text, out.path);
        }
        out.registry = first;
        out.path.erase(0, slash + 1);
    } else {
        out.registry = std::string(default_registry);
    }
    return complete(text, std::move(out));
}

Result<Reference> parse_reference_or_enroot(std::string_view text) {
    const auto hash = text.find('#');
    if (hash == std::string_view::npos) {
        return parse_reference(text);
    }
    TRY(check_text(text));
    if (hash == 0) {
        return bad(text, "there is no registry before '#'");
    }
    TRY_ASSIGN(auto out, split_tail(text, text.substr(hash + 1)));
    out.registry = std::string(text.substr(0, hash));
    return complete(text, std::move(out));
}

std::string LibraryReference::full_path() const {
    const auto parts = std::count(path.begin(), path.end(), '/');
    return parts == 0 ? "library/default/" + path : parts == 1 ? "library/" + path : path;
}

Result<LibraryReference> parse_library_reference(std::string_view written) {
    const auto text = written;
    const auto wrong = [&](std::string_view why) {
        return fail(Code::reference_invalid,
                    fmt::format("{} is not a library reference: {}", in_quotes(text), why),
                    "write for example library://entity/collection/container:tag");
    };
    LibraryReference out;
    auto rest = written;
    const bool may_have_host = rest.starts_with("//") && !rest.starts_with("///");
    rest.remove_prefix(std::min(rest.find_first_not_of('/'), rest.size()));
    if (rest.find_first_of("?@ \t") != std::string_view::npos) {
        return wrong("it has characters that do not belong there");
    }
    const auto last_slash = rest.rfind('/');
    const auto colon = rest.find(':', last_slash == std::string_view::npos ? 0 : last_slash);
    if (colon != std::string_view::npos) {
        for (const auto tag : base::split(rest.substr(colon + 1), ',')) {
            if (!is_tag(tag)) {
                return wrong(tag.empty() ? "a tag is empty" : "a tag is not valid");
            }
            out.tags.emplace_back(tag);
        }
        rest = rest.substr(0, colon);
    } else {
        out.tags.emplace_back("latest");
    }
    auto parts = base::split(rest, '/');
    if (parts.size() == 4 && may_have_host) {
        auto host = base::canonical_registry_host(parts[0]);
        if (!host) {
            return wrong("the host name is not valid");
        }
        out.host = std::move(*host);
        parts.erase(parts.begin());
    }
    if (parts.size() > 3) {
        return wrong("there are too many parts between slashes");
    }
    for (const auto part : parts) {
        if (part.empty() || !std::all_of(part.begin(), part.end(), [](char c) {
                return base::is_alphanumeric(c) || c == '.' || c == '_' || c == '-';
            })) {
            return wrong(part.empty() ? "a part is empty"
                                      : "a part has characters that do not belong there");
        }
        out.path += out.path.empty() ? std::string(part) : "/" + std::string(part);
    }
    return out;
}

Result<ShubReference> parse_shub_reference(std::string_view written) {
    const auto wrong = [&](std::string_view why) {
        return fail(
            Code::reference_invalid,
            fmt::format("{} is not a Singularity Hub reference: {}", in_quotes(written), why),
            "write for example shub://user/container:tag or shub://registry/user/container");
    };
    ShubReference out;
    auto rest = written;
    if (rest.starts_with("//")) {
        rest.remove_prefix(2);
    }
    if (const auto at = rest.rfind('@'); at != std::string_view::npos) {
        out.commit = std::string(rest.substr(at + 1));
        if (!is_tag(out.commit)) {
            return wrong("the commit is not valid");
        }
        rest = rest.substr(0, at);
    }
    const auto slash = rest.rfind('/');
    if (const auto colon = rest.rfind(':');
        colon != std::string_view::npos && slash != std::string_view::npos && colon > slash) {
        out.tag = std::string(rest.substr(colon + 1));
        if (!is_tag(out.tag)) {
            return wrong("the tag is not valid");
        }
        rest = rest.substr(0, colon);
    }
    auto parts = base::split(rest, '/');
    if (parts.size() < 2 || parts.size() > 3) {
        return wrong("it needs a user and a container");
    }
    auto registry =
        base::canonical_registry_host(parts.size() == 3 ? parts[0] : "singularity-hub.org");
    out.user = std::string(parts[parts.size() - 2]);
    out.container = std::string(parts.back());
    if (!registry || !is_tag(out.user) || !is_tag(out.container)) {
        return wrong("a part is empty or has characters that do not belong there");
    }
    out.registry = std::move(*registry);
    return out;
}

} // namespace slipway::image
