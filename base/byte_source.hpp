// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"
#include "base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace slipway::base {

/// A part of a regular file, to be read with pread(2); `file` may not be good for anything else.
struct FileRange {
    UniqueFd file;
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
};

/// The bytes of one compressed blob, in order, as they arrive.
struct ByteSource {
    virtual ~ByteSource() = default;

    /// Between 1 and buffer.size() bytes, 0 at the end of the blob. May block until bytes are there.
    /// Called from one thread at a time. Nothing is verified here: the converter checks size and
    /// digest of everything it reads.
    virtual base::Result<std::size_t> read(std::span<std::uint8_t> buffer) = 0;

    /// Makes a read() that is blocked in another thread come back soon with an error
    /// (Code::interrupted), and every later one fail. A source that never blocks for long keeps the
    /// empty default.
    virtual void cancel() noexcept {}

    /// Where the whole blob lies, for a reader that would rather read it there; ask before the first
    /// read(), which is then not called. The object must live as long as the file is read. Nothing
    /// when the bytes come in another way, or have not all come.
    virtual std::optional<FileRange> file_range() { return std::nullopt; }
};

} // namespace slipway::base
