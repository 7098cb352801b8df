// SPDX-License-Identifier: Apache-2.0
#include "base/ending_signals.hpp"
#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "cli/images/command.hpp"
#include "cli/product.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <thread>

#include <pthread.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

namespace slipway::cli::images {
namespace {

using base::Code;

/// The caller by the host's user database; $HOME and the uid where they are not in it.
config::User current_user(const EnvironmentView& environment) {
    config::User user;
    user.uid = ::geteuid();
    passwd entry{};
    passwd* found = nullptr;
    std::array<char, 16384> buffer{};
    if (::getpwuid_r(user.uid, &entry, buffer.data(), buffer.size(), &found) == 0 &&
        found != nullptr) {
        user.name = entry.pw_name;
        user.home = entry.pw_dir;
    } else {
        user.name = std::to_string(user.uid);
        user.home = std::string(environment.get("HOME").value_or("/"));
    }
    return user;
}

/// The store that the environment names for this user, "" for none. The caches of Apptainer and Singularity
/// have a layout of their own: ours gets a directory beside it.
base::Result<std::string> store_from(const EnvironmentView& environment) {
    for (const auto prefix : option_prefixes()) {
        const auto name = std::string(prefix) + "CACHEDIR";
        const auto value = environment.get(name).value_or("");
        if (value.empty()) {
            continue;
        }
        if (!value.starts_with('/')) {
            return base::fail(Code::option_invalid,
                              fmt::format("{} is {}, not an absolute path", name, base::in_quotes(value)),
                              "begin it with /");
        }
        return prefix == own_prefix ? std::string(value) : base::join_path(value, "slipway");
    }
    return std::string();
}

bool belongs_to_me(const std::string& path) {
    struct stat st {};
    return ::stat(path.c_str(), &st) == 0 && st.st_uid == ::geteuid();
}

} // namespace

base::Result<Site> find_site(const Session& session, Cache cache) {
    Site site;
    TRY_ASSIGN(auto config, config::load(config::Reader::user, session.site_file()));
    site.config = std::make_shared<const config::Config>(std::move(config));
    if (cache == Cache::by_option && session.arguments.flag("disable-cache")) {
        TRY_ASSIGN(site.temporary,
                   temporary_directory(session.environment, "slipway-store-"));
        site.own.path = base::join_path(site.temporary->path(), "store");
        site.own.access = store::Access::private_user;
        return site;
    }
    const auto& settings = site.config->store;
    store::StoreOptions shared;
    shared.path = settings.path;
    shared.access = store::Access::shared;
    shared.quota = settings.quota;
    shared.max_job_time = settings.max_job_time;
    shared.user_share = settings.user_share;
    if (session.environment.get("SLIPWAY_CACHEDIR").value_or("").empty() && !settings.path.empty() &&
        belongs_to_me(settings.path)) {
        site.own = std::move(shared);
        return site;
    }
    TRY_ASSIGN(const auto given, store_from(session.environment));
    TRY_ASSIGN(site.own.path,
               config::user_store_path(*site.config, current_user(session.environment), given,
                                       session.environment.get("XDG_CACHE_HOME").value_or("")));
    site.own.access = store::Access::private_user;
    site.own.max_job_time = settings.max_job_time;
    if (!settings.path.empty()) {
        shared.access = store::Access::read_only;
        site.others.push_back(std::move(shared));
    }
    return site;
}

base::Result<std::unique_ptr<prefetch::staging::Stager>> make_stager(const Session& session,
                                                            const Site& site) {
    prefetch::staging::StagerOptions options;
    options.config = site.config;
    options.store = site.own;
    options.also_look = site.others;
    options.credentials.home = current_user(session.environment).home;
    options.credentials.auth_file = session.arguments.text("authfile").value_or("");
    options.no_https = session.arguments.flag("no-https");
    return prefetch::staging::Stager::create(std::move(options));
}

base::Result<prefetch::stage::StageRequest> stage_request(const Session& session, std::string reference) {
    prefetch::stage::StageRequest request;
    request.reference = std::move(reference);
    request.uid = ::geteuid();
    TRY(check_fetching(session.arguments));
    TRY_ASSIGN(request.platform, wanted_platform(session.arguments));
    request.pull = prefetch::stage::pull_policies.value(session.arguments.text("pull").value_or(""))
                       .value_or(prefetch::stage::PullPolicy::missing);
    return request;
}

prefetch::stage::ProgressStyle progress_style(const Session& session) {
    if (session.arguments.flag("json")) {
        return prefetch::stage::ProgressStyle::json;
    }
    if (session.arguments.flag("quiet") || session.arguments.flag("silent")) {
        return prefetch::stage::ProgressStyle::quiet;
    }
    return prefetch::stage::style_for(STDERR_FILENO);
}

std::stop_token interruption() {
    // Signals are taken by a thread of their own: a handler may not run what a stop request runs.
    // Called before any other thread exists, so that all inherit the mask.
    static std::stop_source source;
    static const bool started = [] {
        sigset_t set;
        sigemptyset(&set);
        for (const int signal : base::ending_signals) {
            sigaddset(&set, signal);
        }
        ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
        std::thread([set] {
            // One wish may come twice: from the terminal to the whole group, and from srun to its child.
            constexpr auto same_wish = std::chrono::seconds(2);
            auto first = std::chrono::steady_clock::time_point::max();
            for (;;) {
                int number = 0;
                if (::sigwait(&set, &number) != 0) {
                    return;
                }
                const auto now = std::chrono::steady_clock::now();
                if (source.stop_requested() && now - first > same_wish) {
                    ::_exit(128 + number);
                }
                first = std::min(first, now);
                source.request_stop();
            }
        }).detach();
        return true;
    }();
    (void)started;
    return source.get_token();
}

} // namespace slipway::cli::images
