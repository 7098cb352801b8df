// SPDX-License-Identifier: Apache-2.0
// The first byte chooses the size of the pieces, the rest is an archive: whatever it is, reading it in
// pieces and reading it whole must give the same entries and the same end.
#include "prefetch/convert/tar_reader.hpp"

#include <cstdio>
#include <cstdlib>

using namespace slipway;
using namespace slipway::prefetch::convert;

namespace {

class Pieces : public TarInput {
  public:
    Pieces(std::span<const std::uint8_t> bytes, std::size_t piece) : bytes_(bytes), piece_(piece) {}
    base::Result<std::span<const std::uint8_t>> next() override {
        const auto part = bytes_.first(std::min(piece_, bytes_.size()));
        bytes_ = bytes_.subspan(part.size());
        return part;
    }

  private:
    std::span<const std::uint8_t> bytes_;
    std::size_t piece_;
};

struct Summary {
    std::uint64_t hash = 14695981039346656037ULL;
    base::Code end = base::Code::internal;
    void add(std::span<const std::uint8_t> bytes) {
        for (const std::uint8_t byte : bytes) {
            hash = (hash ^ byte) * 1099511628211ULL;
        }
    }
    void add(std::string_view text) {
        add({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
        number(text.size());
    }
    void number(std::uint64_t value) {
        add({reinterpret_cast<const std::uint8_t*>(&value), sizeof value});
    }
};

base::Result<void> read_all(TarReader& reader, Summary& out) {
    TarEntry entry;
    for (;;) {
        TRY_ASSIGN(const bool more, reader.next(entry));
        if (!more) {
            return reader.drain();
        }
        out.add(entry.path);
        out.add(entry.link);
        out.number(entry.mode);
        out.number(entry.size);
        out.number(static_cast<std::uint64_t>(entry.mtime));
        for (const auto& [name, value] : entry.xattrs) {
            out.add(name);
            out.add(value);
        }
        std::uint64_t logical = 0;
        for (;;) {
            TRY_ASSIGN(const auto part, reader.content());
            if (part.at_end()) {
                break;
            }
            out.add(part.data);
            logical += part.hole + part.data.size();
        }
        if (logical != entry.size) {
            std::abort(); // an entry promised another size than it gave
        }
    }
}

Summary summary(std::span<const std::uint8_t> bytes, std::size_t piece) {
    Pieces input(bytes, piece);
    TarLimits limits;
    limits.sparse_pieces = 1000;
    TarReader reader(input, limits);
    Summary out;
    if (const auto result = read_all(reader, out); !result) {
        out.end = result.error().code;
    }
    return out;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 1) {
        return 0;
    }
    const std::span<const std::uint8_t> archive(data + 1, size - 1);
    const Summary whole = summary(archive, archive.size() + 1);
    const Summary pieces = summary(archive, data[0] + 1U);
    if (whole.hash != pieces.hash || whole.end != pieces.end) {
        std::abort();
    }
    return 0;
}
