// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

/// What devices/ knows of the world, so that tests can paint their own.
namespace slipway::launcher::devices {

enum class SourceKind : std::uint8_t { file, directory, device };

struct Source {
    int handle = -1;
    SourceKind kind = SourceKind::file; ///< sockets count as files
};

/// The node, seen with the user's rights. Nothing comes back for what is missing or forbidden.
class Host {
  public:
    virtual ~Host() = default;
    /// Opens a path, once, for Mount::handle; symlinks are followed.
    [[nodiscard]] virtual std::optional<Source> open(const std::string& path) = 0;
    /// The first bytes of a regular file that was opened, at most `max`.
    [[nodiscard]] virtual std::optional<std::string> start_of(int handle, std::size_t max) = 0;
    /// A regular file of at most `max` bytes.
    [[nodiscard]] virtual std::optional<std::string> read(const std::string& path,
                                                          std::size_t max) = 0;
    /// Names in a directory, sorted.
    [[nodiscard]] virtual std::vector<std::string> names(const std::string& directory) = 0;
};

/// The image. Its symlinks are followed inside of it; nobody vouches for its bytes.
class Image {
  public:
    virtual ~Image() = default;
    [[nodiscard]] virtual bool has(const std::string& path) const = 0;
    [[nodiscard]] virtual std::optional<std::string> read(const std::string& path,
                                                          std::size_t max) const = 0;
};

} // namespace slipway::launcher::devices
