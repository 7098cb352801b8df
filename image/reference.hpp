// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "image/digest.hpp"
#include "image/transports.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

/// Names of images, as people write them. Everything here is pure: no files, no network.
namespace slipway::image {

using base::Result;

/// An image in a Docker or OCI registry: `[registry/]path[:tag][@digest]` (distribution-spec
/// grammar) with the defaults filled in.
struct Reference {
    std::string registry; ///< base::canonical_registry_host(): "docker.io" also for its aliases
    std::string path;     ///< "library/alpine"
    std::string tag;      ///< "latest" by default; "" when only a digest was given
    Digest digest; ///< empty when none was given; it decides, the tag is then only for people

    /// "docker.io/library/alpine:3.19@sha256:…": canonical, the same for every spelling.
    [[nodiscard]] std::string text() const;
    /// "docker.io/library/alpine".
    [[nodiscard]] std::string name() const { return registry + "/" + path; }
    /// Where the registry's API is: "registry-1.docker.io" for docker.io, else `registry`.
    [[nodiscard]] std::string api_host() const;
    /// What stands after /manifests/ in the API: the digest, else the tag.
    [[nodiscard]] std::string manifest_selector() const;

    friend bool operator==(const Reference&, const Reference&) = default;
};

/// Strict; Code::reference_invalid with a hint for the usual mistakes (upper case, empty tag, a URL).
Result<Reference> parse_reference(std::string_view text);

/// enroot's spelling `[REGISTRY#]IMAGE[:TAG]` as well as parse_reference()'s. "nvcr.io#nvidia/x:1"
/// is nvcr.io/nvidia/x:1; with '#' the first component is never taken for a registry.
Result<Reference> parse_reference_or_enroot(std::string_view text);

/// Name of a container in the Library API: `library:[//[host]/]path[:tag1,tag2]`.
struct LibraryReference {
    std::string host;              ///< "" means the site's default
    std::string path;              ///< as written: container, collection/container or all three
    std::vector<std::string> tags; ///< {"latest"} by default
    [[nodiscard]] std::string
    full_path() const; ///< entity/collection/container, defaults filled in
};
Result<LibraryReference> parse_library_reference(std::string_view text_after_scheme);

/// `shub://[registry/]user/container[:tag][@commit]`.
struct ShubReference {
    std::string registry; ///< "singularity-hub.org" by default
    std::string user;
    std::string container;
    std::string tag = "latest";
    std::string commit;
};
Result<ShubReference> parse_shub_reference(std::string_view text_after_scheme);

/// One image argument, split but not resolved.
struct ImageUri {
    Transport transport = Transport::file;
    std::string written; ///< exactly what the user wrote
    std::string user;    ///< enroot's USER@, "" when absent; a name only, never a password

    Reference reference;      ///< docker, oras
    LibraryReference library; ///< library
    ShubReference shub;       ///< shub

    /// file, oci, oci_archive, docker_archive: the path as written. http(s): the whole URL.
    /// docker_daemon: name:tag or an image id. instance: the name.
    std::string path;
    /// oci, oci_archive, docker_archive: what stands behind the path: "alpine:3.19" (a name), "@1"
    /// (a position), "@sha256:…" (a digest); "" when absent.
    std::string selector;

    /// Canonical: "docker://docker.io/library/alpine:latest", "library://library/default/x:latest",
    /// "oci-archive:/a/b.tar:name", "file:/a/b.sif". Policy rules match against it and references
    /// are remembered under it.
    [[nodiscard]] std::string text() const;
    [[nodiscard]] bool is_remote() const noexcept;   ///< needs the network
};

/// Code::unsupported, with what can be used instead, for a transport that this version does not
/// start from or fetch.
Result<void> require_use(const ImageUri& uri, Use use);

/// How the word that names an image is to be read, before anybody looks at the file system.
enum class ImageWord {
    path,    ///< "/…", "./…", "../…", "~/…", ".", "..": a path whatever exists
    uri,     ///< has a known transport ("docker://…", "oci:…") or enroot's '#'
    unclear, ///< "ubuntu", "images/x.sif": an existing file of that name wins, else see below
};
/// Code::reference_invalid for an unknown transport ("dokcer://…") with a suggestion, and for "".
Result<ImageWord> classify_image_word(std::string_view text);

/// The one rule from a word to an image, used by the plugin, the service and the command line:
/// paths are files, URIs are URIs; an unclear word is a file when `exists` says that there is one,
/// or when it ends like an image file (.sif .sqsh .sqfs .squashfs .img .simg), so that a typing
/// error in a file name says "no such file" instead of asking a registry; else it is a docker
/// reference. `exists` is asked only for unclear words and for the local transports; callers under
/// Slurm answer true for regular files only, callers at the prompt for directories, too.
/// `default_transport` (docker or library) is for unclear words that are no files.
using PathExists = std::function<bool(const std::string& path)>;
Result<ImageUri> parse_image(std::string_view text, const PathExists& exists = {},
                             Transport default_transport = Transport::docker);

/// A URI with a transport, or enroot's form. Code::reference_invalid for a word without.
Result<ImageUri> parse_image_uri(std::string_view text, const PathExists& exists = {});

/// "alpine_3.19.sif": what `pull` calls the file when the user names none.
std::string default_file_name(const ImageUri& uri, std::string_view suffix = ".sif");

} // namespace slipway::image
