// SPDX-License-Identifier: Apache-2.0
#include "launcher/identity.hpp"

#include "base/format.hpp"
#include "base/text.hpp"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace slipway::launcher {
namespace {

using base::Code;
using base::fail_errno;
using base::Result;

constexpr std::size_t max_entry_bytes = 1U << 20U;
/// What the kernel shows for a group that the user namespace does not map.
constexpr gid_t overflow_gid = 65534;

/// Calls one of the get…_r functions with a growing buffer; nullptr when there is no entry.
template <typename Call, typename Record>
Record* look_up(Call call, Record& record, std::vector<char>& buffer) {
    buffer.resize(2048);
    for (;;) {
        Record* found = nullptr;
        const int err = call(&record, buffer.data(), buffer.size(), &found);
        if (err == EINTR) {
            continue;
        }
        if (err != ERANGE || buffer.size() >= max_entry_bytes) {
            return err == 0 ? found : nullptr;
        }
        buffer.resize(buffer.size() * 4);
    }
}

/// A field that cannot break the file it is written to.
std::string field(std::string_view text) {
    std::string clean;
    for (const char c : text) {
        if (c != ':' && c != '\n' && c != '\0') {
            clean += c;
        }
    }
    return clean;
}

std::vector<std::string_view> lines_of(std::string_view text) {
    auto lines = base::split(text, '\n');
    if (!lines.empty() && lines.back().empty()) {
        lines.pop_back();
    }
    return lines;
}

std::string group_name(gid_t gid) {
    group record{};
    std::vector<char> buffer;
    const auto* found =
        look_up([gid](group* entry, char* memory, std::size_t size,
                      group** result) { return ::getgrgid_r(gid, entry, memory, size, result); },
                record, buffer);
    return found == nullptr ? std::string() : field(found->gr_name);
}

} // namespace

Result<UserFacts> look_up_user() {
    UserFacts facts;
    facts.uid = ::getuid();
    facts.gid = ::getgid();
    facts.home = "/";
    facts.shell = "/bin/sh";
    passwd record{};
    std::vector<char> buffer;
    const auto* found = look_up(
        [&](passwd* entry, char* memory, std::size_t size, passwd** result) {
            return ::getpwuid_r(facts.uid, entry, memory, size, result);
        },
        record, buffer);
    if (found != nullptr) {
        facts.name = field(found->pw_name);
        facts.gecos = field(found->pw_gecos);
        if (found->pw_dir[0] == '/') {
            facts.home = field(found->pw_dir);
        }
        if (found->pw_shell[0] == '/') {
            facts.shell = field(found->pw_shell);
        }
    }
    const int count = ::getgroups(0, nullptr);
    std::vector<gid_t> groups(count > 0 ? static_cast<std::size_t>(count) : 0);
    if (count < 0 || ::getgroups(count, groups.data()) != count) {
        return fail_errno(Code::system, errno, "cannot read the groups of this process");
    }
    std::erase(groups, overflow_gid);
    groups.insert(groups.begin(), facts.gid);
    for (std::size_t i = 0; i < groups.size(); ++i) {
        if (std::find(groups.begin(), groups.begin() + static_cast<std::ptrdiff_t>(i), groups[i]) ==
            groups.begin() + static_cast<std::ptrdiff_t>(i)) {
            facts.groups.emplace_back(groups[i], group_name(groups[i]));
        }
    }
    return facts;
}

std::string passwd_text(std::string_view image_text, const UserFacts& user, std::string_view home) {
    std::string text;
    const auto number = std::to_string(user.uid);
    bool there = false;
    for (const auto line : lines_of(image_text)) {
        auto fields = base::split(line, ':');
        if (there || fields.size() != 7 || fields[2] != number) {
            text.append(line).append("\n");
            continue;
        }
        there = true;
        const std::string inside(home);
        fields[5] = inside;
        text += base::joined(fields, ":") + '\n';
    }
    if (!there) {
        text += fmt::format("{}:x:{}:{}:{}:{}:{}\n",
                            user.name.empty() ? fmt::format("user{}", user.uid) : user.name,
                            user.uid, user.gid, user.gecos, home, user.shell);
    }
    return text;
}

std::string group_text(std::string_view image_text, const UserFacts& user) {
    std::string text;
    std::vector<std::string> known;
    for (const auto line : lines_of(image_text)) {
        text.append(line).append("\n");
        const auto fields = base::split(line, ':');
        if (fields.size() == 4) {
            known.emplace_back(fields[2]);
        }
    }
    for (const auto& [gid, name] : user.groups) {
        const auto number = std::to_string(gid);
        if (std::find(known.begin(), known.end(), number) == known.end()) {
            text += fmt::format("{}:x:{}:{}\n", name.empty() ? fmt::format("group{}", gid) : name,
                                gid, user.name);
        }
    }
    return text;
}

} // namespace slipway::launcher
