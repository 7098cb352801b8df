// SPDX-License-Identifier: Apache-2.0
#include "store/process_id.hpp"

#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/process.hpp"
#include "base/text.hpp"

#include <array>
#include <atomic>

#include <unistd.h>

namespace slipway::store {
namespace {

std::string host_name() {
    std::array<char, 256> name{};
    return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

std::string boot_id() {
    auto text = base::read_file("/proc/sys/kernel/random/boot_id", 100);
    return text ? text->substr(0, text->find('\n')) : "unknown";
}

/// 0 when there is no such process, or only what is left of it.
std::uint64_t start_time(pid_t pid) {
    const auto facts = base::process_facts(pid);
    return facts && facts->alive() ? facts->start_time : 0;
}

} // namespace

ProcessId ProcessId::self() {
    return {host_name(), boot_id(), ::getpid(), start_time(::getpid())};
}

std::string ProcessId::text() const {
    return fmt::format("{} {} {} {}", host, boot, pid, start);
}

ProcessId ProcessId::parse(std::string_view text) {
    const auto fields = base::split(text.substr(0, text.find('\n')), ' ');
    if (fields.size() < 4) {
        return {};
    }
    const auto pid = base::parse_u64(fields[2], INT32_MAX);
    const auto start = base::parse_u64(fields[3]);
    if (!pid || !start || fields[0].empty()) {
        return {};
    }
    return {std::string(fields[0]), std::string(fields[1]), static_cast<pid_t>(*pid), *start};
}

std::string new_work_name() {
    static std::atomic<unsigned> counter{0};
    return fmt::format("{}.{}.{}", host_name(), ::getpid(), counter.fetch_add(1));
}

Liveness liveness(const ProcessId& process) {
    if (process.host != host_name()) {
        return Liveness::unknown;
    }
    if (process.boot != boot_id()) {
        return Liveness::dead;
    }
    const auto start = start_time(process.pid);
    return start != 0 && start == process.start ? Liveness::alive : Liveness::dead;
}

} // namespace slipway::store
