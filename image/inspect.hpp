// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What `slipway inspect` shows, from a SIF's inspect-metadata.json or from the files in the image.
namespace slipway::image {

using base::Result;

struct AppMetadata {
    std::map<std::string, std::string> environment; ///< path to text
    std::map<std::string, std::string> labels;
    std::string runscript;
    std::string startscript;
    std::string test;
    std::string helpfile;
};

struct Metadata {
    std::map<std::string, std::string> labels;
    std::string deffile;
    std::string runscript;
    std::string startscript;
    std::string test;
    std::string helpfile;
    std::map<std::string, std::string> environment; ///< path in the image to the script's text
    std::map<std::string, AppMetadata> apps;
    std::string type = "container";
};

/// inspect-metadata.json (hostile input: ≤ 16 MiB). Code::image_corrupt.
Result<Metadata> parse_metadata(std::string_view json);

/// labels.json of .singularity.d: a flat object of strings. Code::image_corrupt.
Result<std::map<std::string, std::string>> parse_labels(std::string_view json);

/// Access to the root file system of the image, given by the caller (mounted, or a directory).
struct ImageFiles {
    /// Content of a regular file (path absolute in the image), nothing when it is not there.
    std::function<Result<std::optional<std::string>>(const std::string& path)> read;
    /// Names in a directory, sorted; empty when it is not there.
    std::function<Result<std::vector<std::string>>(const std::string& path)> list;
};
/// Collects the same facts from the files: for images without the JSON object, bare SquashFS and
/// directories.
Result<Metadata> collect_metadata(const ImageFiles& files);

/// Which parts to show; none set means labels.
struct MetadataParts {
    bool labels = false;
    bool deffile = false;
    bool runscript = false;
    bool startscript = false;
    bool test = false;
    bool environment = false;
    bool helpfile = false;
    bool apps = false; ///< names of the apps in text, everything in JSON
    static MetadataParts all();
};

/// {"data":{"attributes":{…}},"type":"container"}, tab-indented with a final newline. Only the
/// asked parts; keys sorted. `app` selects one app, which then stands alone under "apps"; Code::
/// image_not_found when the image has no such app.
Result<std::string> metadata_json(const Metadata& metadata, const MetadataParts& parts,
                                  std::string_view app = {});
/// The same for the whole image on one line without newline: the form of inspect-metadata.json.
std::string metadata_json_compact(const Metadata& metadata, const MetadataParts& parts);

/// For people: "key: value" lines for labels, texts as they are, environment files with a comment
/// line naming each. `app` selects one app's parts ("" the image's own); Code::image_not_found when
/// the image has no such app.
Result<std::string> metadata_text(const Metadata& metadata, const MetadataParts& parts,
                                  std::string_view app = {});

} // namespace slipway::image
