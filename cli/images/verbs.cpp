// SPDX-License-Identifier: Apache-2.0
// What the verbs of slipway-images are called and how they are explained. Data only: `slipway`
// links it, too.
#include "cli/verbs.hpp"

#include <array>

namespace slipway::cli::images {
namespace {

constexpr auto flag = OptionKind::flag;
constexpr auto text = OptionKind::text;

constexpr std::array fetch_options{
    Option{"platform", 0, text, "OS/ARCH[/VARIANT]",
           "The image for this platform instead of this machine's.", "PULL_PLATFORM", "", ""},
    Option{"arch", 0, text, "ARCH", "The same, by architecture alone: arm64.", "PULL_ARCH", "", ""},
    Option{"no-https", 0, flag, "", "Plain HTTP for a registry on this machine.",
           "NOHTTPS NO_HTTPS", "nohttps", ""},
    Option{"authfile", 0, text, "FILE", "Credentials in docker's config.json form.", "AUTHFILE", "",
           "", "file"},
    Option{"config", 0, text, "FILE", "This site file.", "", "", "", "file"},
    Option{"json", 'j', flag, "", "Progress and result as JSON lines on stdout.", "", "", ""},
};
constexpr std::array stage_options{
    Option{
        "pull", 0, text, "WHEN",
        "missing: what is there is not fetched again, and a tag costs one small request; always: "
        "what the tag means now; never: only what is there.",
        "PULL", "", ""},
    Option{"print-path", 0, flag, "", "Print the path of the image file only.", "", "", ""},
    Option{"print-keys", 0, flag, "", "Print path= and pinned= lines, for programs.", "", "", ""},
};
constexpr std::array pull_options{
    Option{"force", 'F', flag, "", "Overwrite an existing file.", "FORCE", "", ""},
    Option{"dir", 0, text, "DIR", "Put the file there.", "PULLDIR PULLFOLDER", "", "", "dir"},
    Option{"name", 0, text, "FILE", "Name of the file.", "NAME", "", ""},
};
constexpr std::array build_options{
    Option{"force", 'F', flag, "", "Overwrite an existing file.", "FORCE", "", ""},
};
constexpr std::array images_options{
    Option{"force", 'F', flag, "", "Also remove what jobs may still need.", "", "", ""},
    Option{"json", 'j', flag, "", "Print JSON.", "", "", ""},
    Option{"config", 0, text, "FILE", "This site file.", "", "", "", "file"},
};
constexpr std::array cache_options{
    Option{"force", 'f', flag, "", "Do not ask.", "", "", ""},
    Option{"dry-run", 'n', flag, "", "clean: print what would be removed.", "", "", ""},
    Option{"days", 'D', text, "DAYS", "clean: only images staged at least so long ago.", "", "",
           ""},
    Option{"repair", 0, flag, "", "fsck: remove what is broken.", "", "", ""},
    Option{"json", 'j', flag, "", "Print JSON.", "", "", ""},
    Option{"config", 0, text, "FILE", "This site file.", "", "", "", "file"},
};
constexpr std::array stage_groups{OptionGroup{"Image", fetch_options},
                                  OptionGroup{"Staging", stage_options}};
constexpr std::array pull_groups{OptionGroup{"Image", fetch_options},
                                 OptionGroup{"File", pull_options}};
constexpr std::array build_groups{OptionGroup{"Image", fetch_options},
                                  OptionGroup{"File", build_options}};
constexpr std::array images_groups{OptionGroup{"Options", images_options}};
constexpr std::array cache_groups{OptionGroup{"Options", cache_options}};

constexpr std::array stage_examples{
    Example{"slipway stage docker://debian:12", "Before the job: the job then starts at once."},
    Example{"slipway stage --print-path nvcr.io#nvidia/pytorch:24.05-py3",
            "enroot's spelling; prints where the image is."},
};
constexpr std::array pull_examples{
    Example{"slipway pull docker://alpine:3.20", "Makes alpine_3.20.sif."},
    Example{"slipway pull --platform linux/arm64 arm.sif docker://alpine:3.20",
            "For another machine, into a file of your choice."},
};
constexpr std::array build_examples{
    Example{"slipway build tools.sif oci-archive:tools.tar", "From an archive."},
    Example{"slipway build -F tools.sif docker://registry.site/tools:2", "Overwrites tools.sif."},
};
constexpr std::array images_examples{
    Example{"slipway images", "What is staged for you and for everybody."},
    Example{"slipway images pin 3f9a0c", "Keep that one, whatever the quota says."},
};
constexpr std::array cache_examples{
    Example{"slipway cache list -v", "Your own store."},
    Example{"slipway cache clean --days 30", "What was staged a month ago or earlier."},
    Example{"slipway cache fsck --repair", "Read every image and compare it with its digest."},
};

const std::array verb_table{
    Verb{"pull", "Fetch an image into a file", "pull [OPTIONS] [FILE] IMAGE",
         "Fetches an image from a registry, an OCI layout or an archive and converts it into a SIF "
         "file, in one pass and without temporary copies. The file appears when it is whole.",
         pull_groups, pull_examples, Words::anywhere, "", "",
         "slipway-stage(1) slipway-build(1) slipway.yaml(5)"},
    Verb{
        "stage", "Fetch an image into the store", "stage [OPTIONS] IMAGE",
        "Makes sure that the image is in the store and prints its reference, pinned by digest, and "
        "its path. Several processes that ask for one image share one download and one conversion. "
        "Your own store is used unless the shared one belongs to you; what the shared store has is "
        "not fetched again.",
        stage_groups, stage_examples, Words::anywhere, "", "",
        "slipway-images(1) slipway-cache(1) slipway.yaml(5)"},
    Verb{"build", "Make an image", "build [OPTIONS] FILE IMAGE",
         "Makes a SIF file from an image in a registry, an OCI layout or an archive.", build_groups,
         build_examples, Words::anywhere, "", "", "slipway-pull(1)"},
    Verb{"images", "List, pin and remove images in the store",
         "images [list] [--json]\nimages rm [--force] IMAGE…\nimages pin IMAGE…\nimages unpin "
         "IMAGE…",
         "Lists what is staged in the shared store and in your own. IMAGE is the beginning of an "
         "image's id, or its reference. Only the owner of a store can change it.",
         images_groups, images_examples, Words::anywhere, "list rm pin unpin", "",
         "slipway-stage(1) slipway-cache(1)"},
    Verb{
        "cache", "Show and clean the user's own store",
        "cache list [-v]\ncache clean [-f] [-n] [--days N]\ncache fsck [--repair]",
        "list counts images and bytes. clean removes images. fsck reads everything and compares it "
        "with the recorded digests; its exit status is 1 when something is wrong.",
        cache_groups, cache_examples, Words::anywhere, "list clean fsck", "",
        "slipway-images(1) slipway-stage(1)"},
};

} // namespace

std::span<const Verb> verbs() {
    return verb_table;
}

const Verb* find_verb(std::string_view name) {
    for (const auto& verb : verb_table) {
        if (verb.name == name) {
            return &verb;
        }
    }
    return nullptr;
}

} // namespace slipway::cli::images
