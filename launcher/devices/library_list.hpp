// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace slipway::launcher::devices {

enum class Vendor : unsigned char { nvidia, amd };

/// Which files belong to a driver.
struct LibraryList {
    struct Library {
        std::string prefix;              ///< "libcuda.so": libcuda.so and libcuda.so.1
        bool only_if_image_lacks = false; ///< "?libGL.so": the image's own wins
    };
    std::vector<Library> libraries;
    std::vector<std::string> programs; ///< names without a directory
    std::vector<std::string> files;    ///< absolute and clean: the same place in the container
    std::vector<std::string> warnings; ///< lines that are none of these
};

/// The files nvliblist.conf and rocmliblist.conf of Singularity and Apptainer: an entry in each
/// line, '#' begins a comment. What has ".so" in it is (the start of) a library's name, what begins
/// with '/' a file, everything else a program. At most 4096 entries count.
LibraryList parse_library_list(std::string_view text);

/// The list that counts when the site gives none.
std::string_view default_library_list(Vendor vendor) noexcept;

} // namespace slipway::launcher::devices
