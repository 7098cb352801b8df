// SPDX-License-Identifier: Apache-2.0
#include "base/process_mark.hpp"

#include "base/format.hpp"
#include "base/process.hpp"
#include "base/text.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>

#include <sys/stat.h>
#include <unistd.h>

namespace slipway::base {
namespace {

/// Where pids mean the same as here: a directory may be shared by hosts and containers. FNV-1a, for the name
/// of a host can be long; nothing depends on its strength.
std::string place() {
    std::array<char, 256> host{};
    (void)::gethostname(host.data(), host.size() - 1);
    struct stat facts {};
    (void)::stat("/proc/self/ns/pid", &facts);
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const char c : fmt::format("{} {}", host.data(), facts.st_ino)) {
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    }
    return fmt::format("{:016x}", hash);
}

} // namespace

std::string process_mark() {
    return fmt::format("{}.{}.{}", place(), ::getpid(),
                       process_start_time(::getpid()).value_or(0));
}

bool is_mark_of_ended(std::string_view text) {
    const auto parts = split(text, '.');
    if (parts.size() != 3 || parts[0] != place()) {
        return false;
    }
    const auto pid = parse_u64(parts[1], INT32_MAX);
    const auto start = parse_u64(parts[2]);
    if (!pid || *pid == 0 || !start || *start == 0) {
        return false;
    }
    const auto facts = process_facts(static_cast<pid_t>(*pid));
    if (facts) {
        return !facts->alive() || facts->start_time != *start;
    }
    // /proc may hide the processes of others.
    return ::kill(static_cast<pid_t>(*pid), 0) != 0 && errno == ESRCH;
}

} // namespace slipway::base
