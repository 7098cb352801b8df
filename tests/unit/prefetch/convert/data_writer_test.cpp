// SPDX-License-Identifier: Apache-2.0
#include "prefetch/convert/data_writer.hpp"

#include "base/fd.hpp"

#include <catch2/catch.hpp>

#include <random>
#include <string>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

using namespace slipway;
using namespace slipway::prefetch::convert;
using base::Code;
using squashfs::Compressor;

namespace {

constexpr std::uint64_t base_offset = 4096;
constexpr std::uint64_t data_start = 104;

struct Written {
    base::UniqueFd file{memfd_create("test", MFD_CLOEXEC)};
    std::unique_ptr<DataWriter> writer;
    DataWriter::Options options;
    std::vector<PayloadId> ids;

    explicit Written(DataWriter::Options with) : options(with) {
        writer = std::move(*DataWriter::create(file.get(), base_offset, data_start, options));
    }
    void add(std::string_view content, std::size_t piece = SIZE_MAX) {
        const auto id = writer->begin(content.size());
        REQUIRE(id);
        ids.push_back(*id);
        while (!content.empty()) {
            const auto part = content.substr(0, piece);
            REQUIRE(writer->append({reinterpret_cast<const std::uint8_t*>(part.data()), part.size()}));
            content.remove_prefix(part.size());
        }
        REQUIRE(writer->end());
    }
    std::string stored(std::uint64_t start, std::uint32_t size) const {
        std::string raw(size & ~uncompressed_block, '\0');
        REQUIRE(base::read_exact_at(
            file.get(), {reinterpret_cast<std::uint8_t*>(raw.data()), raw.size()}, base_offset + start));
        if ((size & uncompressed_block) != 0) {
            return raw;
        }
        std::string out(options.block_size, '\0');
        if (options.compressor == Compressor::zstd) {
            const std::size_t got = ZSTD_decompress(out.data(), out.size(), raw.data(), raw.size());
            REQUIRE(ZSTD_isError(got) == 0);
            out.resize(got);
        } else {
            uLongf got = out.size();
            REQUIRE(uncompress(reinterpret_cast<Bytef*>(out.data()), &got,
                               reinterpret_cast<const Bytef*>(raw.data()), raw.size()) == Z_OK);
            out.resize(got);
        }
        return out;
    }
    /// The file as a reader of the image would see it.
    std::string content(PayloadId id) const {
        const Payload& payload = writer->payload(id);
        std::string out;
        std::uint64_t at = payload.start;
        for (std::uint32_t i = 0; i < payload.block_count; ++i) {
            const std::uint32_t size = writer->block_sizes()[payload.first_block + i];
            if (size == 0) {
                out.append(std::min<std::uint64_t>(options.block_size, payload.size - out.size()), '\0');
            } else {
                out += stored(at, size);
                at += size & ~uncompressed_block;
            }
        }
        if (payload.fragment != Payload::no_fragment) {
            const auto& block = writer->fragments().at(payload.fragment);
            const std::string all = stored(block.start, block.size);
            out += all.substr(payload.fragment_offset, payload.size - out.size());
        }
        return out;
    }
    std::string bytes() const {
        std::string out(writer->end_of_data(), '\0');
        REQUIRE(base::read_exact_at(file.get(), {reinterpret_cast<std::uint8_t*>(out.data()) + data_start,
                                                 out.size() - data_start},
                                    base_offset + data_start));
        return out;
    }
};

std::string noise(std::size_t size, unsigned seed) {
    std::mt19937_64 random(seed);
    std::string out(size, '\0');
    for (auto& c : out) {
        c = static_cast<char>(random());
    }
    return out;
}

std::string text(std::size_t size, unsigned seed) {
    std::mt19937 random(seed);
    std::string out;
    while (out.size() < size) {
        out += "word" + std::to_string(random() % 1000) + " ";
    }
    out.resize(size);
    return out;
}

DataWriter::Options small_blocks(unsigned threads = 2, Compressor compressor = Compressor::zstd) {
    return {compressor, 3, 4096, threads, 0};
}

/// Every interesting size around a block, compressible and not.
std::vector<std::string> sizes_around_blocks() {
    std::vector<std::string> out;
    unsigned seed = 1;
    for (const std::size_t size : {0, 1, 100, 2000, 4000, 4095, 4096, 4097, 8191, 8192, 8193, 20000}) {
        out.push_back(text(size, seed++));
        out.push_back(noise(size, seed++));
    }
    return out;
}

} // namespace

TEST_CASE("files of any size come back from the data area") {
    const auto contents = sizes_around_blocks();
    for (const auto compressor : {Compressor::zstd, Compressor::gzip}) {
        for (const std::size_t piece : {SIZE_MAX, std::size_t{1000}, std::size_t{4096}}) {
            Written written(small_blocks(2, compressor));
            for (const auto& content : contents) {
                written.add(content, piece);
            }
            REQUIRE(written.writer->finish());
            for (std::size_t i = 0; i < contents.size(); ++i) {
                INFO(i);
                CHECK(written.writer->payload(written.ids[i]).size == contents[i].size());
                CHECK((written.content(written.ids[i]) == contents[i]));
            }
        }
    }
}

TEST_CASE("the data area does not depend on threads or buffers") {
    std::string first;
    for (const unsigned threads : {1U, 2U, 7U}) {
        for (const std::size_t buffers : {0UL, 40UL}) {
            auto options = small_blocks(threads);
            options.buffers = buffers;
            Written written(options);
            for (int round = 0; round < 3; ++round) {
                for (const auto& content : sizes_around_blocks()) {
                    written.add(content + std::to_string(round), 777);
                }
            }
            REQUIRE(written.writer->finish());
            if (first.empty()) {
                first = written.bytes();
            }
            CHECK((written.bytes() == first));
        }
    }
}

TEST_CASE("equal files are stored once") {
    Written written(small_blocks());
    const auto contents = sizes_around_blocks();
    for (const auto& content : contents) {
        written.add(content);
    }
    written.add(text(9000, 77)); // a file of blocks that are all its own
    const auto count = written.ids.size();
    for (const auto& content : contents) {
        written.add(content);
    }
    written.add(text(9000, 77));
    written.add(text(9000, 77) + "x"); // the same blocks but the last
    REQUIRE(written.writer->finish());
    Written once(small_blocks());
    for (const auto& content : contents) {
        once.add(content);
    }
    once.add(text(9000, 77));
    once.add(text(9000, 77) + "x");
    REQUIRE(once.writer->finish());
    CHECK(written.writer->end_of_data() == once.writer->end_of_data());
    for (std::size_t i = 0; i < count; ++i) {
        const auto& a = written.writer->payload(written.ids[i]);
        const auto& b = written.writer->payload(written.ids[count + i]);
        CHECK(a.start == b.start);
        CHECK(a.fragment == b.fragment);
        CHECK(a.fragment_offset == b.fragment_offset);
    }
    CHECK((written.content(written.ids.back()) == text(9000, 77) + "x"));
    CHECK(written.writer->stats().duplicate_files == contents.size() + 1 - 2); // two are empty
}

TEST_CASE("holes cost nothing and come back as zeros") {
    Written written(small_blocks());
    const auto bytes = [](std::string_view s) {
        return std::span(reinterpret_cast<const std::uint8_t*>(s.data()), s.size());
    };
    const auto sparse = [&](std::initializer_list<std::pair<std::string, std::uint64_t>> parts) {
        std::uint64_t size = 0;
        std::string want;
        for (const auto& [data, hole] : parts) {
            size += data.size() + hole;
        }
        written.ids.push_back(*written.writer->begin(size));
        for (const auto& [data, hole] : parts) {
            REQUIRE(written.writer->append(bytes(data)));
            REQUIRE(written.writer->append_hole(hole));
            want += data;
            want.append(static_cast<std::size_t>(hole), '\0');
        }
        REQUIRE(written.writer->end());
        return want;
    };
    std::vector<std::string> want;
    want.push_back(sparse({{"", 10'000}}));
    want.push_back(sparse({{"head", 10'000}}));
    want.push_back(sparse({{"head", 5}, {"mid", 20'000}, {"tail", 0}}));
    want.push_back(sparse({{"", 4096}}));
    want.push_back(sparse({{"", 3}}));
    want.push_back(sparse({{noise(4096, 1), 4096}, {noise(4096, 2), 1}}));
    written.add(std::string(50'000, '\0'));
    want.emplace_back(50'000, '\0');
    const std::uint64_t big = 1ULL << 40U; // a terabyte; its block list alone would be 1 GiB at 4 KiB
    auto wide = DataWriter::Options{};
    wide.block_size = 1U << 20U;
    Written huge(wide);
    huge.ids.push_back(*huge.writer->begin(big));
    REQUIRE(huge.writer->append_hole(big));
    REQUIRE(huge.writer->end());
    REQUIRE(huge.writer->finish());
    CHECK(huge.writer->end_of_data() == data_start);
    CHECK(huge.writer->payload(0).block_count == 1U << 20U);
    REQUIRE(written.writer->finish());
    for (std::size_t i = 0; i < want.size(); ++i) {
        INFO(i);
        CHECK((written.content(written.ids[i]) == want[i]));
    }
    CHECK(written.writer->payload(written.ids[0]).sparse);
}

TEST_CASE("a full disk is said so") {
    const base::UniqueFd full(open("/dev/full", O_RDWR | O_CLOEXEC));
    REQUIRE(full);
    auto writer = std::move(*DataWriter::create(full.get(), 0, 96, small_blocks()));
    base::Result<void> result;
    const std::string content = noise(4096 * 10, 3);
    REQUIRE(writer->begin(content.size()));
    for (int i = 0; i < 1000 && result; ++i) {
        result = writer->append({reinterpret_cast<const std::uint8_t*>(content.data()), content.size()});
    }
    REQUIRE_FALSE(result);
    CHECK(result.error().code == Code::out_of_space);
    CHECK_FALSE(writer->finish());
}
