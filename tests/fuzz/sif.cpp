// SPDX-License-Identifier: Apache-2.0
// A file that somebody calls an image: probing, reading the table and every small object must never
// fail otherwise than by an Error, and everything reported must lie inside the file.
#include "base/fd.hpp"
#include "image/inspect.hpp"
#include "image/open_image.hpp"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>

using namespace slipway;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const base::UniqueFd fd(::memfd_create("fuzz", MFD_CLOEXEC));
    if (!fd || !base::write_all_at(fd.get(), {data, size}, 0)) {
        return 0;
    }
    const auto file = image::probe_image(fd.get(), size);
    if (!file) {
        return 0;
    }
    for (const auto& root : file->roots) {
        if (root.offset > size || root.size > size - root.offset) {
            std::abort();
        }
    }
    (void)image::require_runnable(*file, "x", "amd64");
    if (!file->sif) {
        return 0;
    }
    for (const auto& object : file->sif->objects) {
        if (object.offset > size || object.size > size - object.offset) {
            std::abort();
        }
        (void)image::read_sif_object(fd.get(), object, 65536);
    }
    if (const auto text = image::read_inspect_metadata(fd.get(), *file->sif)) {
        (void)image::parse_metadata(*text);
    }
    return 0;
}
