// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "image/oci.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

/// What makes a root file system a native image: the definition text, the metadata objects and the
/// tree .singularity.d, written for Slipway and for foreign runtimes (Singularity, Apptainer).
/// Pure and reproducible: equal input gives equal bytes.
namespace slipway::image {

struct NativeSource {
    /// Lower-case scheme and what stands after it, as the user wrote it: "docker" and
    /// "alpine:3.19", "oci-archive" and "img/x.tar".
    std::string bootstrap;
    std::string from;
    std::string tool_version; ///< "0.1.0"; part of the labels
};

/// From an image argument ("docker://alpine" gives docker and alpine).
NativeSource native_source(std::string_view written_uri, std::string_view tool_version);

/// "bootstrap: docker\nfrom: alpine:3.19\n\n".
std::string deffile_text(const NativeSource& source);

/// config.Labels plus the org.label-schema ones; the build date is the image's own `created` (left
/// out when it has none).
std::map<std::string, std::string> native_labels(const NativeSource& source,
                                                 const ImageConfig& config);

/// .singularity.d/runscript: ENTRYPOINT and CMD as a POSIX sh script with two ways to treat words:
/// by default the caller's words are evaluated once more by the shell, as Singularity always did;
/// with SINGULARITY_NO_EVAL or APPTAINER_NO_EVAL set they are taken exactly.
std::string runscript_text(const ImageConfig& config);

/// .singularity.d/env/10-docker2singularity.sh from Env.
std::string docker_environment_text(const ImageConfig& config);

/// Content of inspect-metadata.json: compact JSON, the envelope of `inspect --all --json`.
std::string inspect_metadata_text(const NativeSource& source, const ImageConfig& config);

enum class EntryKind { directory, file, symlink };
/// What happens when the root file system already has something of that path.
enum class EntryRule {
    keep,      ///< whatever is there stays (also a symlink); made only when missing
    replace,   ///< removed and written anew
    truncate,  ///< a regular file is emptied and keeps its mode; anything else is replaced;
               ///< made when missing
    link,      ///< a symlink replaces a symlink; anything else of that name stays
    directory, ///< must be a real directory: an existing one stays with its mode, else replaced
};

struct NativeEntry {
    std::string path; ///< relative, no leading "/", parents come before their children
    EntryKind kind = EntryKind::file;
    EntryRule rule = EntryRule::replace;
    std::uint32_t mode = 0755; ///< permission bits; owner is 0:0
    std::string content;       ///< of a file, or the target of a symlink
};

/// The whole tree to lay over the root file system, in order. One thing is the caller's: when the
/// base has a regular file at native_deffile_path, it is first moved to the first free name of
/// .singularity.d/bootstrap_history/Singularity0, 1, ….
std::vector<NativeEntry> native_tree(const NativeSource& source, const ImageConfig& config);

inline constexpr std::string_view native_deffile_path = ".singularity.d/Singularity";
inline constexpr std::string_view native_history_dir = ".singularity.d/bootstrap_history";

} // namespace slipway::image
