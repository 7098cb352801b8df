// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.hpp"
#include "base/result.hpp"
#include "squashfs/compressors.hpp"

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

/// The site file /etc/slipway/slipway.yaml as plain structs. The members below are documented in
/// one place, the schema table (schema_table.cpp), from which the parser, the example file and the
/// man page slipway.yaml(5) are made. Values that a file does not give have the defaults written
/// here.
namespace slipway::config {

inline constexpr std::uint64_t kib = 1024;
inline constexpr std::uint64_t mib = 1024 * kib;
inline constexpr std::uint64_t gib = 1024 * mib;

struct StoreConfig {
    std::string path;        ///< absolute; "" when the site shares no store
    std::string user_path;   ///< pattern with ~ and ${USER}; "" when the site says nothing
    std::uint64_t quota = 0; ///< bytes; 0: no quota
    std::uint64_t max_job_time = 7 * 24 * 3600; ///< seconds
    unsigned user_share = 25; ///< percent of the quota that one user's grants hold
};

struct ServiceConfig {
    /// One "unix:/absolute/path"; a list because a later version may listen on several.
    std::vector<std::string> listen{"unix:/run/slipway/slipwayd.sock"};
    unsigned workers = 0; ///< 0: one for each core
    unsigned max_concurrent_per_user = 4;
};

struct RegistryConfig {
    /// base::canonical_registry_host(), tried in order before the registry itself.
    std::vector<std::string> mirrors;
    bool insecure = false;        ///< plain HTTP
    std::string ca_file;          ///< absolute; "" for the system's certificates
    std::string username;         ///< site credentials; "" for none
    std::string password_file;    ///< absolute; its first line is the password or token
    std::uint64_t rate_limit = 0; ///< bytes per second for downloads; 0: no limit
};

struct ConvertConfig {
    squashfs::Compressor compression = squashfs::default_compressor; ///< one that is written
    unsigned level = 0;                   ///< 0: the default of the compressor
    std::uint64_t block_size = 128 * kib; ///< bytes, a power of two from 4 KiB to 1 MiB
    unsigned threads = 0;                 ///< 0: one for each core
    std::uint64_t memory = 512 * mib;     ///< bytes
};

enum class DeviceMode { full, minimal };

struct LauncherConfig {
    unsigned squashfs_threads = 0; ///< 0: one for each core the job has
    bool mount_home = true;
    bool mount_tmp = true; ///< /tmp and /var/tmp
    bool mount_cwd = true;
    DeviceMode mount_dev = DeviceMode::full;
    std::vector<std::string> bind;          ///< "src[:dst[:opt,…]]", before the user's binds
    std::map<std::string, std::string> env; ///< set unless image or user set the variable
    bool passwd = true;                     ///< user's line added to /etc/passwd
    bool group = true;                      ///< user's groups added to /etc/group
    bool resolv_conf = true;                ///< host's /etc/resolv.conf
    std::string nv_library_list;            ///< file; empty: the list that is built in
    std::string rocm_library_list;
    /// Bytes of a writable root, a contained tmp or home, a scratch directory; 0: half of the
    /// node's memory.
    std::uint64_t tmpfs_size = 0;
};

struct LimitsConfig {
    std::uint64_t image_size = 100 * gib; ///< bytes, sum of all file sizes of an image
    std::uint64_t layers = 256;
    std::uint64_t entries = 5'000'000; ///< over all layers
};

struct Config {
    StoreConfig store;
    ServiceConfig service;
    std::map<std::string, RegistryConfig>
        registries; ///< by base::canonical_registry_host(); docker.io for Docker Hub
    ConvertConfig convert;
    LauncherConfig launcher;
    LimitsConfig limits;

    std::string source; ///< path of the file that was read; "" for built-in defaults
    std::string raw;    ///< its bytes, for whoever logs their hash
};

/// Settings for a registry by any spelling of its "host[:port]"; defaults when the file does not
/// name it.
const RegistryConfig& registry(const Config& config, std::string_view host);

/// Who reads. It decides whose word is taken for the file's path and owner, and is a parameter so
/// that no environment variable can change it.
enum class Reader {
    user,      ///< an unprivileged program of the caller: $SLIPWAY_CONFIG is honoured
    privileged ///< root, or a process that acts for somebody else: only compiled-in and given paths
};

struct Source {
    std::string path;
    bool must_exist = false; ///< false: an absent file means built-in defaults
};

/// The file to read: `given` (an option or a plugstack argument) when it is not empty, else
/// $SLIPWAY_CONFIG for Reader::user, else the compiled-in path. Only the last may be absent.
Source find_source(Reader reader, std::string_view given = {});

/// Opens the file, an invalid UniqueFd when it may be absent and is. Reads nothing. A file that is
/// read with privilege, or is the site's own, must be owned by root and, like every directory above
/// it, must not be writable by group or others (Code::config_insecure). Also for programs that open
/// as one user and parse as another: inside a user namespace nobody can see the owners any more.
base::Result<base::UniqueFd> open_source(Reader reader, const Source& source);

/// Reads and checks an open file from its start; an invalid fd gives the built-in defaults.
base::Result<Config> load_fd(int fd, std::string_view name);

/// find_source, open_source and load_fd in one.
base::Result<Config> load(Reader reader, std::string_view given = {});

/// Parses the text of a file. Errors are Code::config_invalid and say "name:line: what", for
/// unknown keys with the nearest known one.
base::Result<Config> parse(std::string_view text, std::string_view name);

/// Facts about the user for whom a pattern is expanded.
struct User {
    std::string name;
    std::string home; ///< absolute
    uid_t uid = 0;
};

/// Expands a leading ~, ${USER}, ${UID} and ${HOME}; the result is absolute. Anything else after $
/// is an error.
base::Result<std::string> expand(std::string_view pattern, const User& user);

/// The user's own store: $SLIPWAY_CACHEDIR, else store.user_path, else $XDG_CACHE_HOME/slipway,
/// else
/// ~/.cache/slipway. Environment values are given by the caller ("" for unset).
base::Result<std::string> user_store_path(const Config& config, const User& user,
                                          std::string_view slipway_cachedir,
                                          std::string_view xdg_cache_home);

/// The site file with every key commented out, its default and its documentation.
std::string example_file();

/// The values in force as YAML that parse() accepts; passwords are only named by their file.
std::string show(const Config& config);

} // namespace slipway::config
