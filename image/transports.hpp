// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

/// The one table of ways to name an image. Parsing, canonical texts, help, hints and errors come
/// from it, so what is not built is nowhere promised. Pure.
namespace slipway::image {

enum class Transport : std::uint8_t {
    file,           ///< a SIF or SquashFS file, or a directory
    docker,         ///< a Docker or OCI registry
    oras,           ///< a SIF file in an OCI registry
    library,        ///< the Library API
    shub,           ///< Singularity Hub
    http,           ///< a file on a web server
    https,          ///<
    oci,            ///< an OCI layout in a directory
    oci_archive,    ///< an OCI layout in a tar file
    docker_archive, ///< what `docker save` writes
    docker_daemon,  ///< an image of a running docker
    instance,       ///< a running instance
};

/// How a name begins.
enum class Form : std::uint8_t {
    colon,         ///< "oci:PATH"; slashes behind the colon are accepted
    slashes,       ///< "docker://NAME"; they may be missing
    needs_slashes, ///< "http://NAME" only: "http:x" is an image http with the tag x
};

/// What an image of that transport is made of.
enum class Gives : std::uint8_t {
    nothing, ///< something that is already there (instance)
    layers,  ///< tar layers, which are converted
    file,    ///< a finished image
};

/// What can be done with a transport in this version.
enum class Use : std::uint8_t {
    none = 0,
    start = 1, ///< run, exec, shell, srun --container-image
    fetch = 2, ///< pull, build, stage
    both = 3,
};

struct TransportRow {
    Transport transport;
    std::string_view name;
    std::string_view alias; ///< enroot's spelling, with "//" only; "" for none
    Form form;
    Gives gives;
    bool network;
    bool registry; ///< named by a Reference; the credentials of registries count
    Use use;
    std::string_view example; ///< what stands behind the prefix

    /// "docker://", "oci:".
    [[nodiscard]] std::string prefix() const {
        return std::string(name) + (form == Form::colon ? ":" : "://");
    }
    [[nodiscard]] constexpr bool can(Use wanted) const noexcept {
        return (static_cast<unsigned>(use) & static_cast<unsigned>(wanted)) ==
               static_cast<unsigned>(wanted);
    }
};

inline constexpr TransportRow transport_table[] = {
    // clang-format off
    {Transport::docker, "docker", "", Form::slashes, Gives::layers, true, true, Use::both, "debian:12"},
    {Transport::oci, "oci", "", Form::colon, Gives::layers, false, false, Use::both, "DIRECTORY"},
    {Transport::oci_archive, "oci-archive", "", Form::colon, Gives::layers, false, false, Use::both, "FILE"},
    {Transport::docker_archive, "docker-archive", "", Form::colon, Gives::layers, false, false, Use::both, "FILE"},
    {Transport::file, "file", "", Form::colon, Gives::file, false, false, Use::both, "FILE"},
    {Transport::oras, "oras", "", Form::needs_slashes, Gives::file, true, true, Use::none, "HOST/NAME:TAG"},
    {Transport::library, "library", "", Form::slashes, Gives::file, true, false, Use::none, "ENTITY/COLLECTION/NAME:TAG"},
    {Transport::shub, "shub", "", Form::needs_slashes, Gives::file, true, false, Use::none, "USER/NAME:TAG"},
    {Transport::http, "http", "", Form::needs_slashes, Gives::file, true, false, Use::none, "HOST/PATH"},
    {Transport::https, "https", "", Form::needs_slashes, Gives::file, true, false, Use::none, "HOST/PATH"},
    {Transport::docker_daemon, "docker-daemon", "dockerd", Form::colon, Gives::layers, false, false, Use::none, "NAME:TAG"},
    {Transport::instance, "instance", "", Form::needs_slashes, Gives::nothing, false, false, Use::none, "NAME"},
    // clang-format on
};

/// The row of a transport; every transport has one.
const TransportRow& transport_row(Transport transport) noexcept;
std::string_view transport_name(Transport transport) noexcept; ///< "docker-archive", "file"

/// A transport in front of a text.
struct TransportSplit {
    const TransportRow* row = nullptr; ///< null: none that is known, in a form that it allows
    std::string_view rest;             ///< behind "name:", slashes kept
};
TransportSplit split_transport(std::string_view text) noexcept;

/// "docker://, oci:, oci-archive: and docker-archive:" for messages: what can be used so.
std::string transport_list(Use use, std::string_view last_word = "and");

namespace detail {
/// Text of a fixed capacity that is put together at compile time.
struct FixedText {
    char data[160]{};
    std::size_t size = 0;
    constexpr void add(std::string_view text) {
        for (const char c : text) {
            data[size++] = c;
        }
    }
};
constexpr FixedText make_examples() {
    std::size_t count = 0;
    for (const auto& row : transport_table) {
        count += row.can(Use::fetch) ? 1 : 0;
    }
    FixedText text;
    for (const auto& row : transport_table) {
        if (!row.can(Use::fetch)) {
            continue;
        }
        --count;
        text.add(row.name);
        text.add(row.form == Form::colon ? ":" : "://");
        text.add(row.example);
        text.add(count > 1 ? ", " : count == 1 ? " or " : "");
    }
    return text;
}
inline constexpr FixedText examples = make_examples();
} // namespace detail

/// "docker://debian:12, oci:DIRECTORY, … or docker-archive:FILE": for help texts, which are put
/// together at compile time.
inline constexpr std::string_view transport_examples{detail::examples.data, detail::examples.size};

} // namespace slipway::image
