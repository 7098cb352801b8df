// SPDX-License-Identifier: Apache-2.0
#include "base/format.hpp"
#include "config/config.hpp"
#include "config/schema.hpp"

#include <catch2/catch.hpp>

#include <span>
#include <string>

using namespace slipway;
using config::parse;

namespace {

/// The first error of a text, as a person sees it.
std::string error_of(std::string_view text) {
    const auto result = parse(text, "f.yaml");
    return result ? "accepted" : result.error().one_line();
}

config::Config good(std::string_view text) {
    auto result = parse(text, "f.yaml");
    if (!result) {
        FAIL(result.error().one_line());
    }
    return std::move(*result);
}

struct Mistake {
    const char* text;
    const char* error;
};

void check_errors(std::span<const Mistake> mistakes) {
    for (const auto& mistake : mistakes) {
        INFO(mistake.text);
        CHECK(error_of(mistake.text) == mistake.error);
    }
}

const char* const full_file = R"(
store: {path: /shared//slipway/, user_path: "~/.slipway", quota: 20TiB, max_job_time: 7d}
service:
  listen: ["unix:/run/slipway/other.sock"]
  workers: 8
  max_concurrent_per_user: 2
registries:
  docker.io: {mirrors: ["mirror.site:5000"], rate_limit: 100MiB}
  localhost:5000: {insecure: true}
  nvcr.io: {username: $oauthtoken, password_file: /etc/slipway/ngc, ca_file: /etc/ssl/ngc.pem}
convert: {compression: gzip, level: 9, block_size: 256KiB, threads: 3, memory: 1GiB}
launcher:
  squashfs_threads: 2
  mount_home: false
  mount_tmp: off
  mount_cwd: no
  mount_dev: minimal
  bind: [/scratch, "/apps:/opt/apps:ro"]
  env: {SITE: lab, MODE: "0755", EMPTY: ""}
  passwd: false
  group: false
  resolv_conf: false
  tmpfs_size: 128MiB
limits: {image_size: 10GiB, layers: 64, entries: 1000}
)";

} // namespace

TEST_CASE("a full site file is read into its structs: images and where they come from") {
    const auto config = good(full_file);
    CHECK(config.store.path == "/shared/slipway");
    CHECK(config.store.user_path == "~/.slipway");
    CHECK(config.store.quota == 20 * 1024 * config::gib);
    CHECK(config.store.max_job_time == 7 * 86400);
    CHECK(config.service.listen == std::vector<std::string>{"unix:/run/slipway/other.sock"});
    CHECK(config.service.workers == 8);
    CHECK(config.service.max_concurrent_per_user == 2);
    CHECK(config.registries.size() == 3);
    CHECK(config::registry(config, "docker.io").mirrors ==
          std::vector<std::string>{"mirror.site:5000"});
    CHECK(config::registry(config, "docker.io").rate_limit == 100 * config::mib);
    CHECK(config::registry(config, "localhost:5000").insecure);
    CHECK_FALSE(config::registry(config, "localhost").insecure);
    CHECK(config::registry(config, "nvcr.io").username == "$oauthtoken");
    CHECK(config::registry(config, "nvcr.io").password_file == "/etc/slipway/ngc");
    CHECK(config::registry(config, "nvcr.io").ca_file == "/etc/ssl/ngc.pem");
}

TEST_CASE("a full site file is read into its structs: conversion and containers") {
    const auto config = good(full_file);
    CHECK(config.convert.compression == squashfs::Compressor::gzip);
    CHECK(config.convert.level == 9);
    CHECK(config.convert.block_size == 256 * config::kib);
    CHECK(config.convert.threads == 3);
    CHECK(config.convert.memory == config::gib);
    CHECK(config.launcher.squashfs_threads == 2);
    CHECK_FALSE(config.launcher.mount_home);
    CHECK_FALSE(config.launcher.mount_tmp);
    CHECK_FALSE(config.launcher.mount_cwd);
    CHECK(config.launcher.mount_dev == config::DeviceMode::minimal);
    CHECK(config.launcher.bind == std::vector<std::string>{"/scratch", "/apps:/opt/apps:ro"});
    CHECK(config.launcher.env ==
          std::map<std::string, std::string>{{"EMPTY", ""}, {"MODE", "0755"}, {"SITE", "lab"}});
    CHECK_FALSE(config.launcher.passwd);
    CHECK_FALSE(config.launcher.group);
    CHECK_FALSE(config.launcher.resolv_conf);
    CHECK(config.launcher.tmpfs_size == 128 * config::mib);
    CHECK(config.limits.image_size == 10 * config::gib);
    CHECK(config.limits.layers == 64);
    CHECK(config.limits.entries == 1000);
    CHECK(config.source == "f.yaml");
    CHECK(config.raw.starts_with("\nstore:"));
}

TEST_CASE("an empty file, comments and empty sections mean the defaults") {
    for (const auto* text : {"", "# nothing\n", "---\n", "store:\nlimits:\n  # layers: 2\n"}) {
        const auto config = good(text);
        CHECK(config::show(config) == config::show(config::Config{}));
    }
}

TEST_CASE("mistakes are reported with file, line and a way out: sections and keys") {
    const Mistake mistakes[] = {
        {"stroe: {}\n",
         "config-invalid: f.yaml:1: unknown section 'stroe' (hint: did you mean 'store'?)"},
        {"xyzzy: 1\n", "config-invalid: f.yaml:1: unknown section 'xyzzy' (hint: known are store, "
                       "service, registries, convert, launcher, limits)"},
        {"store:\n  path: /a\n  qouta: 1TiB\n",
         "config-invalid: f.yaml:3: unknown key 'qouta' in store (hint: did you mean 'quota'?)"},
        {"service: {xyzzy: 1}\n", "config-invalid: f.yaml:1: unknown key 'xyzzy' in service (hint: "
                                  "known are listen, workers, max_concurrent_per_user)"},
        {"registries:\n  quay.io: {insecur: true}\n",
         "config-invalid: f.yaml:2: unknown key 'insecur' in registries.quay.io (hint: did you "
         "mean "
         "'insecure'?)"},
        {"store: {path: /a}\n\nstore: {quota: 1G}\n",
         "config-invalid: f.yaml:3: 'store' is given a second time (first in line 1) (hint: keep "
         "one of them)"},
        {"store:\n  path: /a\n  path: /b\n", "config-invalid: f.yaml:3: 'path' is given a second "
                                             "time (first in line 2) (hint: keep one "
                                             "of them)"},
        {"policy:\n  default: allow\n",
         "config-invalid: f.yaml:1: 'policy' is not supported: this version does not enforce "
         "policy, "
         "and rules that nobody enforces would be a false comfort (hint: remove 'policy')"},
        {"launcher:\n  gpu: {nv: auto}\n",
         "config-invalid: f.yaml:2: 'gpu' is not supported: which files --nv and --rocm give "
         "containers is set by nv_library_list and rocm_library_list (hint: remove 'gpu')"},
        {"slurm: {batch: container}\n",
         "config-invalid: f.yaml:1: 'slurm' is not supported: the plugin takes its settings from "
         "its "
         "line in plugstack.conf, for example batch=container (hint: remove 'slurm')"},
        {"- a\n- b\n", "config-invalid: f.yaml:1: the file must hold sections such as 'store:' "
                       "(hint: see slipway config example)"},
        {"store: 5\n",
         "config-invalid: f.yaml:1: 'store' must hold keys of its own (hint: write one "
         "indented 'key: value' per line below it)"},
    };
    check_errors(mistakes);
}

TEST_CASE("mistakes are reported with file, line and a way out: single values") {
    const Mistake mistakes[] = {
        {"store: {path: shared}\n", "config-invalid: f.yaml:1: store.path: 'shared' is not an "
                                    "absolute path (hint: write a path "
                                    "that begins with /)"},
        {"store: {path: /a/../b}\n",
         "config-invalid: f.yaml:1: store.path: '/a/../b' has a .. in it "
         "(hint: write the path without ..)"},
        {"store: {path: }\n",
         "config-invalid: f.yaml:1: store.path: has no value (hint: write a text)"},
        {"store:\n  quota: lots\n",
         "config-invalid: f.yaml:2: store.quota: a number is missing (hint: write a size such as "
         "512MiB or 20TiB)"},
        {"store: {quota: 5XiB}\n", "config-invalid: f.yaml:1: store.quota: '5XiB' has an unknown "
                                   "unit (hint: write a size such "
                                   "as 512MiB or 20TiB)"},
        {"limits: {layers: 0100}\n",
         "config-invalid: f.yaml:1: limits.layers: '0100' begins with 0, which some readers take "
         "for "
         "an octal number (hint: write a whole number from 1 to 10000 without leading zeros)"},
        {"limits: {layers: 0x10}\n",
         "config-invalid: f.yaml:1: limits.layers: '0x10' begins with 0, which some readers take "
         "for "
         "an octal number (hint: write a whole number from 1 to 10000 without leading zeros)"},
        {"limits: {layers: 0}\n",
         "config-invalid: f.yaml:1: limits.layers: 0 is out of range (hint: write a whole number "
         "from 1 to 10000)"},
        {"launcher: {mount_home: maybe}\n", "config-invalid: f.yaml:1: launcher.mount_home: is "
                                            "'maybe', not true or false (hint: write "
                                            "true or false)"},
        {"launcher: {mount_dev: none}\n",
         "config-invalid: f.yaml:1: launcher.mount_dev: is 'none', which is not one of the choices "
         "(hint: write full or minimal)"},
        {"convert: {block_size: 100KiB}\n", "config-invalid: f.yaml:1: convert.block_size: "
                                            "'100KiB' is not a power of two (hint: write "
                                            "a power of two from 4KiB to 1MiB)"},
        {"convert: {block_size: 2MiB}\n",
         "config-invalid: f.yaml:1: convert.block_size: '2MiB' is out of range (hint: write a size "
         "from 4KiB to 1MiB)"},
        {"store: {}\nconvert: {compression: gzip, level: 10}\n",
         "config-invalid: f.yaml:2: convert.level: gzip has levels 1 to 9 (hint: write a level "
         "from "
         "1 to 9, or auto)"},
        {"store: {max_job_time: 7}\n",
         "config-invalid: f.yaml:1: store.max_job_time: '7' has no unit (hint: write a time such as "
         "90s, 5m, 2h or 7d)"},
        {"store: {max_job_time: 0s}\n",
         "config-invalid: f.yaml:1: store.max_job_time: must be longer than nothing (hint: write a "
         "time such as 90s, 5m, 2h or 7d)"},
        {"store: {user_path: \"$HOME/x\"}\n",
         "config-invalid: f.yaml:1: store.user_path: '$HOME/x' has a $ without {NAME} (hint: begin "
         "with / or ~, and use only ${USER}, ${UID} and ${HOME})"},
    };
    check_errors(mistakes);
}

TEST_CASE("mistakes are reported with file, line and a way out: lists and maps") {
    const Mistake mistakes[] = {
        {"launcher: {env: {MASK: 0022}}\n",
         "config-invalid: f.yaml:1: launcher.env: MASK: '0022' could be taken for an octal or "
         "hexadecimal number (hint: write it in quotes: \"0022\")"},
        {"launcher: {env: {1A: x}}\n", "config-invalid: f.yaml:1: launcher.env: '1A' is no name of "
                                       "an environment variable (hint: "
                                       "use letters, digits and _ and begin with a letter or _)"},
        {"launcher: {bind: /scratch}\n",
         "config-invalid: f.yaml:1: launcher.bind: is not a list (hint: write [a, b], also for a "
         "single value)"},
        {"launcher: {bind: [scratch]}\n",
         "config-invalid: f.yaml:1: launcher.bind: 'scratch' is no bind (hint: write SOURCE, "
         "SOURCE:TARGET or SOURCE:TARGET:OPTION, with absolute paths and ro or rw as option)"},
        {"launcher: {bind: [/a, /a]}\n",
         "config-invalid: f.yaml:1: launcher.bind: names '/a' twice "
         "(hint: remove one of them)"},
        {"registries: {\"https://quay.io\": {}}\n",
         "config-invalid: f.yaml:1: 'https://quay.io' is no registry (hint: write host or "
         "host:port, without https:// and without a path)"},
        {"registries: {quay.io: {}, \"Quay.io:443\": {}}\n",
         "config-invalid: f.yaml:1: 'Quay.io:443' is quay.io, which is there already (hint: write "
         "each one once)"},
        {"registries: {a.b: {mirrors: [m.b, \"m.b:0443\"]}}\n",
         "config-invalid: f.yaml:1: registries.a.b.mirrors: names 'm.b' twice (hint: remove one of "
         "them)"},
        {"registries:\n  a.b: {username: me}\n",
         "config-invalid: f.yaml:2: registries.a.b: username and password_file belong together "
         "(hint: give both or none)"},
        {"registries:\n  a.b: {insecure: true, ca_file: /x}\n",
         "config-invalid: f.yaml:2: registries.a.b: ca_file has no meaning with insecure: true "
         "(hint: remove insecure to use HTTPS)"},
        {"service: {listen: []}\n", "config-invalid: f.yaml:1: service.listen: is empty (hint: "
                                    "this version listens on one Unix socket)"},
        {"service: {listen: [\"unix:run\"]}\n",
         "config-invalid: f.yaml:1: service.listen: 'run' is not an absolute path (hint: write a "
         "path that begins with /)"},
        {"service: {listen: [\"tcp:host\"]}\n",
         "config-invalid: f.yaml:1: service.listen: 'tcp:host' is no address to listen on (hint: "
         "write unix:/absolute/path)"},
        {"service: {listen: [\"unix:/a\", \"unix:/b\"]}\n",
         "config-invalid: f.yaml:1: service.listen: names more than one address (hint: this "
         "version "
         "listens on one Unix socket)"},
    };
    check_errors(mistakes);
}

TEST_CASE("compressors and their levels are those of the one table") {
    for (const auto& row : squashfs::compressors) {
        for (int level = 1; level <= 30; ++level) {
            CAPTURE(row.name, level);
            const auto text =
                fmt::format("convert: {{compression: {}, level: {}}}\n", row.name, level);
            CHECK(parse(text, "f.yaml").has_value() == row.has_level(level));
        }
    }
    CHECK(good("convert: {level: 22}\n").convert.level == 22);
    CHECK(parse("convert: {compression: bzip2}\n", "f.yaml").error().one_line() ==
          "config-invalid: f.yaml:1: convert.compression: is 'bzip2', which is not one of the "
          "choices (hint: write zstd or gzip)");
}

TEST_CASE("what would only fail when it is used is refused with the line of the key") {
    const auto socket = "unix:/run/" + std::string(110, 's');
    const std::pair<std::string, std::string> cases[] = {
        {"convert:\n  compression: gzip\n  block_size: 4KiB\n  level: 10\n",
         "f.yaml:4: convert.level: gzip has levels 1 to 9"},
        {"convert:\n  level: 23\n", "f.yaml:2: convert.level: 23 is out of range"},
        {"convert:\n  memory: 64MiB\n  threads: 1024\n",
         "f.yaml:3: convert.threads: 1024 threads with blocks of 128KiB need more memory than "
         "64MiB "
         "(hint: write memory: 257MiB, or fewer threads)"},
        {"convert: {block_size: 2KiB}\n", "convert.block_size: '2KiB' is out of range"},
        {"convert: {block_size: 96KiB}\n", "convert.block_size: '96KiB' is not a power of two"},
        {"convert: {threads: 0}\n", "convert.threads: 0 is out of range"},
        {"service: {listen: [\"" + socket + "\"]}\n", "cannot be the path of a socket"},
        {"service: {listen: [\"unix:/run/slipway/\"]}\n", "cannot be the path of a socket"},
        {"service: {listen: [\"unix:/\"]}\n", "'/' is the root directory"},
        {"store: {path: /}\n", "store.path: '/' is the root directory"},
        {"store: {path: //.//}\n", "is the root directory"},
        {"store: {user_path: \"~\"}\n", "store.user_path: '~' is in use for other things"},
        {"store: {user_path: \"${HOME}/.\"}\n", "is in use for other things"},
        {"store: {quota: 10}\n", "store.quota: '10' is out of range"},
        {"store: {user_share: 0%}\n", "store.user_share: '0%' is no percentage"},
        {"store: {user_share: 25}\n", "store.user_share: '25' is no percentage"},
        {"store: {user_share: 101%}\n", "store.user_share: '101%' is no percentage"},
        {"store: {max_job_time: 36501d}\n",
         "store.max_job_time: '36501d' is out of range (hint: write a time of at most 36500d)"},
        {"registries: {a.b: {username: \"me:secret\", password_file: /p}}\n",
         "registries.a.b.username: 'me:secret' has a colon in it"},
        {"launcher: {bind: [/dev]}\n", "launcher.bind: '/dev' is no place"},
        {"launcher: {bind: [\"/a:/proc/x\"]}\n", "launcher.bind: '/proc/x' is no place"},
        {"launcher: {bind: [\"/a:/\"]}\n", "launcher.bind: '/' is no place"},
        {"launcher: {bind: [\"/a:/b/../c\"]}\n", "launcher.bind: '/b/../c' is no place"},
    };
    for (const auto& [text, error] : cases) {
        INFO(text);
        CHECK(error_of(text).find(error) != std::string::npos);
    }
    CHECK(good("convert: {threads: 64}\n").convert.threads == 64);
    CHECK(good("convert: {level: 22}\n").convert.level == 22); // zstd's own highest
    CHECK(good("launcher: {bind: [\"/a:/dev/shm/x:ro\"]}\n").launcher.bind.size() == 1);
}

TEST_CASE("a file is UTF-8 text, with or without a byte order mark") {
    CHECK(good("\xEF\xBB\xBFstore: {path: /x}\n").store.path == "/x");
    const auto utf16 = [](std::string_view text, bool big, bool mark) {
        std::string out = mark ? (big ? "\xFE\xFF" : "\xFF\xFE") : "";
        for (const char c : text) {
            out += big ? std::string{'\0', c} : std::string{c, '\0'};
        }
        return out;
    };
    for (const bool big : {true, false}) {
        for (const bool mark : {true, false}) {
            const auto error = error_of(utf16("store: {path: /x}\n", big, mark));
            CHECK(error.find("f.yaml:1: there is a ") != std::string::npos);
            CHECK(error.find("save the file as UTF-8 text") != std::string::npos);
        }
    }
    CHECK(error_of(std::string("store:\n  path: /x\0y\n", 19))
              .find("f.yaml:2: there is a NUL byte") != std::string::npos);
    CHECK(error_of("# caf\xE9\n").find("f.yaml:1: there is a byte that is not UTF-8") !=
          std::string::npos);
    CHECK(good("# caf\xC3\xA9\n").store.path.empty());
}

TEST_CASE("YAML that means more than it shows is refused") {
    CHECK(error_of("store: &a {path: /x}\n").find("f.yaml:1: anchors and aliases") !=
          std::string::npos);
    CHECK(error_of("store: {path: &a /x}\n").find("anchors and aliases") != std::string::npos);
    CHECK(error_of("store: {path: *a}\n").find("f.yaml:1: not valid YAML") != std::string::npos);
    CHECK(error_of("store: {path: !!str /x}\n").find("the tag") != std::string::npos);
    CHECK(error_of("store: {quota: !size 1}\n").find("the tag '!size'") != std::string::npos);
    CHECK(error_of("store: {}\n---\nlimits: {}\n").find("f.yaml:2: a second document") !=
          std::string::npos);
    CHECK(error_of("? [a, b]\n: c\n").find("a key must be plain text") != std::string::npos);
    CHECK(error_of("? \n: c\n").find("a key must be plain text") != std::string::npos);
    CHECK(error_of("store: {path: /x\n").find("not valid YAML") != std::string::npos);
    CHECK(error_of("store:\n\tpath: /x\n").find("not valid YAML") != std::string::npos);
    CHECK(error_of("a: [[[[[[[[[[[[1]]]]]]]]]]]]\n").find("nested deeper than 8 levels") !=
          std::string::npos);
    CHECK(error_of("a: " + std::string(100'000, '[')).starts_with("config-invalid: f.yaml:1: "));
    const std::string many = "launcher: {env: {" + [] {
        std::string list;
        for (int i = 0; i < 60'000; ++i) {
            list += "A" + std::to_string(i) + ": ,";
        }
        return list;
    }() + "}}";
    CHECK(error_of(many).find("more than 100000 values") != std::string::npos);
    CHECK(error_of("# " + std::string(1U << 20U, 'x')) ==
          "limit-exceeded: f.yaml is larger than 1.0 MiB");
}

TEST_CASE("terminal control in a file does not reach the terminal") {
    const auto text = error_of("\"st\\x1b[31more\": {}\n");
    CHECK(text.find('\x1b') == std::string::npos);
    CHECK(text.find("\\x1b") != std::string::npos);
}

TEST_CASE("problems() reports every mistake, in the order of the file") {
    const auto all = config::problems("store: {qota: 1}\nlimits: {layers: x}\npolicy: {}\n", "f");
    REQUIRE(all.size() == 3);
    CHECK(all[0].message.starts_with("f:1: "));
    CHECK(all[1].message.starts_with("f:2: "));
    CHECK(all[2].message.starts_with("f:3: "));
    CHECK(config::problems("store: {path: /x}\n", "f").empty());
}

TEST_CASE("registry names with ports and IPv6 addresses") {
    for (const auto* host : {"docker.io", "localhost:5000", "10.0.0.1:80", "[::1]:5000", "a-b.c"}) {
        INFO(host);
        CHECK(good("registries: {\"" + std::string(host) + "\": {}}\n").registries.size() == 1);
    }
    for (const auto* host :
         {"", ":5000", "a:", "a:0", "a:70000", "a:x", "a/b", "[::1", "a b", "[::1]x"}) {
        INFO(host);
        CHECK(error_of("registries: {\"" + std::string(host) + "\": {}}\n") != "accepted");
    }
}

TEST_CASE("every spelling of a registry finds its entry") {
    const auto config = good(R"(
registries:
  NVCR.io:443: {mirrors: ["Mirror.site:05000", "index.docker.io"], rate_limit: 1MiB}
  127.0.0.1:021055: {insecure: true}
)");
    for (const auto* spelling : {"nvcr.io", "nvcr.io:443", "NVCR.IO", "nvcr.io.", "nvcr.io:0443"}) {
        INFO(spelling);
        CHECK(config::registry(config, spelling).rate_limit == config::mib);
    }
    CHECK(config::registry(config, "nvcr.io").mirrors ==
          std::vector<std::string>{"mirror.site:5000", "docker.io"});
    for (const auto* spelling : {"127.0.0.1:21055", "127.1:21055", "0x7f.1:021055"}) {
        INFO(spelling);
        CHECK(config::registry(config, spelling).insecure);
    }
    CHECK_FALSE(config::registry(config, "127.0.0.1").insecure);
}

TEST_CASE("paths of users") {
    const config::User user{"ann", "/home/ann", 1001};
    CHECK(*config::expand("~/.slipway", user) == "/home/ann/.slipway");
    CHECK(*config::expand("~", user) == "/home/ann");
    CHECK(*config::expand("/scratch/${USER}/${UID}", user) == "/scratch/ann/1001");
    CHECK(*config::expand("${HOME}/x", user) == "/home/ann/x");
    for (const auto* bad :
         {"", "rel", "~bob/x", "/a/$USER", "/a/${USER", "/a/${PATH}", "/a/../b"}) {
        INFO(bad);
        CHECK_FALSE(config::expand(bad, user));
    }
    CHECK_FALSE(config::expand("/s/${USER}", {"..", "/h", 1}));
    CHECK_FALSE(config::expand("/s/${USER}", {"a/b", "/h", 1}));

    config::Config config;
    CHECK(*config::user_store_path(config, user, "", "") == "/home/ann/.cache/slipway");
    CHECK(*config::user_store_path(config, user, "", "/xdg") == "/xdg/slipway");
    CHECK(*config::user_store_path(config, user, "", "xdg") == "/home/ann/.cache/slipway");
    config.store.user_path = "/scratch/${USER}/s";
    CHECK(*config::user_store_path(config, user, "", "/xdg") == "/scratch/ann/s");
    CHECK(*config::user_store_path(config, user, "/mine/", "/xdg") == "/mine");
    CHECK_FALSE(config::user_store_path(config, user, "mine", ""));
}
