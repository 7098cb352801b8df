// SPDX-License-Identifier: Apache-2.0
// Feeds every file of the folders and files named on the command line to the fuzz target once, and
// besides that each file cut in half and with one byte flipped, so that a replay also tries damage.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

void feed(std::vector<std::uint8_t> bytes) {
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    const std::vector<std::uint8_t> half(bytes.begin(),
                                         bytes.begin() + static_cast<std::ptrdiff_t>(bytes.size() / 2));
    LLVMFuzzerTestOneInput(half.data(), half.size());
    const std::size_t step = std::max<std::size_t>(1, bytes.size() / 64);
    for (std::size_t at = 0; at < bytes.size(); at += step) {
        bytes[at] ^= 0x41;
        LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
        bytes[at] ^= 0x41;
    }
}

} // namespace

int main(int argc, char** argv) {
    std::size_t files = 0;
    for (int i = 1; i < argc; ++i) {
        std::vector<std::filesystem::path> inputs;
        if (std::filesystem::is_directory(argv[i])) {
            for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
                inputs.push_back(entry.path());
            }
        } else {
            inputs.emplace_back(argv[i]);
        }
        for (const auto& path : inputs) {
            std::ifstream in(path, std::ios::binary);
            std::vector<std::uint8_t> bytes((std::istreambuf_iterator<char>(in)), {});
            feed(std::move(bytes));
            ++files;
        }
    }
    std::printf("replayed %zu inputs\n", files);
    return files == 0 ? 1 : 0;
}
