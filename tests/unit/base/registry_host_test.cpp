// SPDX-License-Identifier: Apache-2.0
#include "base/registry_host.hpp"

#include <catch2/catch.hpp>

#include <utility>
#include <vector>

using slipway::base::canonical_registry_host;

TEST_CASE("a registry has one spelling") {
    const std::vector<std::pair<std::string, std::string>> rows = {
        {"nvcr.io", "nvcr.io"},
        {"NVCR.io", "nvcr.io"},
        {"nvcr.io.", "nvcr.io"},
        {"nvcr.io:443", "nvcr.io"},
        {"nvcr.io:00443", "nvcr.io"},
        {"NVCR.IO.:443", "nvcr.io"},
        {"127.0.0.1:021055", "127.0.0.1:21055"},
        {"127.1:5000", "127.0.0.1:5000"},
        {"0x7f.1:5000", "127.0.0.1:5000"},
        {"2130706433:5000", "127.0.0.1:5000"},
        {"[0:0::1]:5000", "[::1]:5000"},
        {"[::FFFF:10.0.0.1]:443", "[::ffff:10.0.0.1]"},
        {"index.docker.io", "docker.io"},
        {"Registry-1.docker.io:443", "docker.io"},
        {"registry.hub.docker.com", "docker.io"},
        {"docker.io:443", "docker.io"},
        {"registry-1.docker.io:5000", "registry-1.docker.io:5000"},
        {"localhost", "localhost"},
        {"localhost:443", "localhost"},
        {"host.example:80", "host.example:80"},
        // Without its port it would be a name on Docker Hub.
        {"myhost", "myhost:443"},
        {"myhost:443", "myhost:443"},
        {"myhost.:443", "myhost:443"},
    };
    for (const auto& [written, canonical] : rows) {
        INFO(written);
        CHECK(canonical_registry_host(written) == canonical);
        CHECK(canonical_registry_host(canonical) == canonical);
    }
}

TEST_CASE("what is no registry is refused") {
    for (const std::string text : {"", ".", "host..io", "-x.io", "x-.io", "a_b.io", "host:0",
                                   "host:65536", "host:", "host:x", "[::1", "[::1]x", "[fe80::1%lo]",
                                   "https://x.io", "x.io/y", "user@x.io", "x.io?", "x io", "[]:1"}) {
        INFO(text);
        CHECK(!canonical_registry_host(text));
    }
}
