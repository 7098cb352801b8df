// SPDX-License-Identifier: Apache-2.0
// convert_layout [OPTION=VALUE]… LAYOUT OUTPUT.sif: converts an image of an OCI layout directory and
// prints the report as key=value lines. Options: compression level block threads memory name keep
// entries bytes layers depth ratio cancel_after (blob bytes); here=1 converts in this process and not
// in one of its own, pipe=1 sends layers through pipes. For tests and benchmarks.
#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "layout.hpp"
#include "prefetch/convert/convert.hpp"
#include "prefetch/convert/isolated.hpp"

#include <atomic>
#include <cstdio>
#include <map>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

using namespace slipway;

namespace {

struct Sink : prefetch::convert::ProgressSink {
    std::atomic<std::uint64_t> bytes{0};
    std::uint64_t cancel_after = UINT64_MAX;
    std::stop_source stop;
    void layer_bytes(std::size_t, std::uint64_t more) noexcept override {
        if ((bytes += more) > cancel_after) {
            stop.request_stop();
        }
    }
};

base::Result<std::uint64_t> number(const std::map<std::string, std::string>& options,
                                   const std::string& key, std::uint64_t fallback) {
    const auto found = options.find(key);
    if (found == options.end()) {
        return fallback;
    }
    return base::parse_size(found->second);
}

base::Result<void> set_options(const std::map<std::string, std::string>& options,
                               prefetch::convert::ConvertOptions& out) {
    if (const auto found = options.find("compression"); found != options.end()) {
        if (const auto* row = squashfs::find_compressor(found->second)) {
            out.compressor = row->id;
        }
    }
    TRY_ASSIGN(const auto level, number(options, "level", 0));
    if (level != 0) {
        out.level = static_cast<int>(level);
    }
    TRY_ASSIGN(const auto block, number(options, "block", out.block_size));
    out.block_size = static_cast<std::uint32_t>(block);
    TRY_ASSIGN(const auto threads, number(options, "threads", 0));
    out.threads = static_cast<unsigned>(threads);
    TRY_ASSIGN(out.memory, number(options, "memory", out.memory));
    TRY_ASSIGN(const auto keep, number(options, "keep", 0));
    out.keep_owners = keep != 0;
    TRY_ASSIGN(out.limits.entries, number(options, "entries", out.limits.entries));
    TRY_ASSIGN(out.limits.image_bytes, number(options, "bytes", out.limits.image_bytes));
    TRY_ASSIGN(out.limits.ratio, number(options, "ratio", out.limits.ratio));
    TRY_ASSIGN(const auto layers, number(options, "layers", out.limits.layers));
    out.limits.layers = layers;
    TRY_ASSIGN(const auto depth, number(options, "depth", out.limits.depth));
    out.limits.depth = depth;
    return {};
}

void print(const prefetch::convert::ConvertReport& report) {
    fmt::print("image_bytes={}\nblob_bytes={}\ntar_bytes={}\nentries={}\ninodes={}\n",
               report.image_bytes, report.blob_bytes, report.tar_bytes, report.entries,
               report.inodes);
    fmt::print("masked_files={}\nmasked_bytes={}\ndead_bytes={}\nsecond_visits={}\n",
               report.masked_files, report.masked_bytes, report.dead_bytes, report.second_visits);
    fmt::print("duplicate_files={}\nduplicate_bytes={}\noutput={}\n", report.duplicate_files,
               report.duplicate_bytes, report.output.text());
    for (const auto& warning : report.warnings) {
        fmt::print("warning={}\n", warning);
    }
}

/// MiB that this process had at most: the parent of a conversion.
void print_own_peak() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    fmt::print("parent_peak={}\n", usage.ru_maxrss >> 10);
}

base::Result<void> run(const std::map<std::string, std::string>& options, const std::string& layout,
                       const std::string& output) {
    const auto name = options.find("name");
    TRY_ASSIGN(const auto here, number(options, "here", 0));
    TRY_ASSIGN(const auto pipe, number(options, "pipe", 0));
    TRY_ASSIGN(const auto input,
               test::layout_input(layout, name == options.end() ? "" : name->second,
                                  image::host_platform(), pipe != 0));
    prefetch::convert::ConvertOptions convert_options;
    TRY(set_options(options, convert_options));
    Sink sink;
    TRY_ASSIGN(sink.cancel_after, number(options, "cancel_after", UINT64_MAX));
    convert_options.stop = sink.stop.get_token();
    TRY_ASSIGN(const auto digest, number(options, "digest", 0));
    convert_options.digest_output = digest != 0;
    TRY_ASSIGN(auto fd, base::open_file(output, O_RDWR | O_CREAT | O_TRUNC, 0644));
    TRY_ASSIGN(const auto report,
               here != 0 ? prefetch::convert::convert(input, convert_options, fd.get(), sink)
                         : prefetch::convert::convert_isolated(input, convert_options, fd.get(),
                                                               sink, SLIPWAY_CONVERT_PROGRAM));
    TRY(fd.close());
    print(report);
    return {};
}

} // namespace

int main(int argc, char** argv) {
    std::map<std::string, std::string> options;
    std::vector<std::string> paths;
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        const auto equals = word.find('=');
        if (equals == std::string::npos || word.find('/') < equals) {
            paths.push_back(word);
        } else {
            options[word.substr(0, equals)] = word.substr(equals + 1);
        }
    }
    if (paths.size() != 2) {
        fmt::print(stderr, "usage: convert_layout [OPTION=VALUE]... LAYOUT OUTPUT.sif\n");
        return 1;
    }
    const auto result = run(options, paths[0], paths[1]);
    print_own_peak();
    if (!result) {
        fmt::print(stderr, "slipway: error: {}\n", result.error().one_line());
        return 255;
    }
    return 0;
}
