// SPDX-License-Identifier: Apache-2.0
// slipwayd: stages images for the whole cluster. Reads the site file, opens the shared store, listens
// on a Unix socket, and works until a signal ends it. Composition only; the parts are in this
// folder and in prefetch/staging.
#include "base/barrier.hpp"
#include "base/format.hpp"
#include "base/inherited_state.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "config/config.hpp"
#include "image/digest.hpp"
#include "prefetch/service/sd_notify.hpp"
#include "prefetch/service/server.hpp"
#include "prefetch/staging/stager.hpp"

#include <csignal>
#include <cstdio>
#include <exception>
#include <limits>
#include <thread>

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

using namespace slipway;
namespace service = prefetch::service;

bool under_journal = false; ///< set once, before any thread starts

void to_spdlog(base::LogLevel level, std::string_view message) {
    constexpr spdlog::level::level_enum levels[] = {spdlog::level::debug, spdlog::level::info,
                                                    spdlog::level::warn, spdlog::level::err};
    // Priorities as in sd-daemon(3), so that `journalctl -p warning` finds what is one.
    constexpr std::string_view prefixes[] = {"<7>", "<6>", "<4>", "<3>"};
    const auto index = static_cast<std::size_t>(level);
    spdlog::log(levels[index], "{}{}", under_journal ? prefixes[index] : "", base::printable(message));
}

/// systemd names the journal's stream by device and inode; a redirected stderr is another one.
bool stderr_is_journal() {
    const char* stream = ::getenv("JOURNAL_STREAM");
    struct stat st {};
    return stream != nullptr && ::fstat(STDERR_FILENO, &st) == 0 &&
           stream == fmt::format("{}:{}", st.st_dev, st.st_ino);
}

/// One line an event on stderr. The journal adds time and priority itself.
void start_log() {
    auto logger = spdlog::stderr_logger_mt("slipwayd");
    under_journal = stderr_is_journal();
    logger->set_pattern(under_journal ? "%v" : "%Y-%m-%dT%H:%M:%S.%e %l %v");
    spdlog::set_default_logger(std::move(logger));
    base::set_log_sink(to_spdlog);
}

/// Every client is a descriptor: as many as the hard limit allows.
void raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        ::setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/// Connections that leave descriptors for the store and for transfers.
std::size_t connections_within_limit() {
    constexpr std::size_t others = 512;
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        return std::numeric_limits<std::size_t>::max();
    }
    return limit.rlim_cur > 2 * others ? limit.rlim_cur - others : limit.rlim_cur / 2;
}

base::Result<std::string> config_path(int argc, char** argv) {
    if (argc == 1) {
        return std::string();
    }
    if (argc == 3 && std::string_view(argv[1]) == "--config") {
        return std::string(argv[2]);
    }
    return base::fail(base::Code::usage, "slipwayd takes no arguments but --config FILE");
}

base::Result<std::string> socket_path(const config::Config& config) {
    constexpr std::string_view scheme = "unix:";
    std::string path;
    for (const auto& address : config.service.listen) {
        if (!address.starts_with(scheme) || !path.empty()) {
            return base::fail(base::Code::unsupported,
                              "service.listen: this version listens on one Unix socket",
                              "listen: [\"unix:/run/slipway/slipwayd.sock\"]");
        }
        path = address.substr(scheme.size());
    }
    return path;
}

service::ServerOptions server_options(const config::Config& config) {
    service::ServerOptions options;
    options.table.workers = config.service.workers != 0
                                ? config.service.workers
                                : std::max(1U, std::thread::hardware_concurrency());
    options.table.reserve = (options.table.workers + 1) / 2;
    options.table.per_user = config.service.max_concurrent_per_user;
    options.max_connections = std::min(options.max_connections, connections_within_limit());
    return options;
}

base::Result<prefetch::staging::StagerOptions> stager_options(std::shared_ptr<const config::Config> config) {
    if (config->store.path.empty()) {
        return base::fail(base::Code::config_missing, "store.path is not set",
                          "the service stages into a shared directory: name it in the site file");
    }
    prefetch::staging::StagerOptions options;
    options.store.path = config->store.path;
    options.store.access = store::Access::shared;
    options.store.quota = config->store.quota;
    options.store.max_job_time = config->store.max_job_time;
    options.store.user_share = config->store.user_share;
    options.credentials.site_only = true;
    options.for_service = true;
    options.config = std::move(config);
    return options;
}

base::Result<void> run(int argc, char** argv) {
    TRY_ASSIGN(const auto path, config_path(argc, argv));
    TRY_ASSIGN(auto loaded, config::load(config::Reader::privileged, path));
    const auto config = std::make_shared<const config::Config>(std::move(loaded));
    auto options = server_options(*config);
    TRY_ASSIGN(options.socket_path, socket_path(*config));
    TRY_ASSIGN(auto staging, stager_options(config));
    TRY_ASSIGN(const auto stager, prefetch::staging::Stager::create(std::move(staging)));
    if (const auto swept = stager->store().sweep(); swept && *swept != 0) {
        base::log(base::LogLevel::info, fmt::format("removed {} leftovers of processes that are gone", *swept));
    }
    service::Server server(options, stager->store(),
                           [&](const prefetch::stage::StageRequest& request,
                               const prefetch::stage::StageSink& sink, std::stop_token stop) {
                               return stager->stage(request, sink, std::move(stop));
                           });
    TRY(server.listen(service::inherited_socket()));
    base::log(base::LogLevel::info,
              fmt::format("listening on {} store {} configuration {} sha256 {}",
                          options.socket_path, config->store.path,
                          config->source.empty() ? "built-in" : config->source,
                          image::sha256_hex(config->raw).substr(0, 16)));
    const bool watchdog = service::watchdog_interval().has_value();
    server.run([] { service::sd_notify("READY=1"); },
               [watchdog] {
                   if (watchdog) {
                       service::sd_notify("WATCHDOG=1");
                   }
               });
    service::sd_notify("STOPPING=1");
    return {};
}

} // namespace

int main(int argc, char** argv) {
    slipway::base::repair_inherited_state();
    // Site credentials are in memory: no core dumps, no ptrace.
    ::prctl(PR_SET_DUMPABLE, 0);
    ::signal(SIGPIPE, SIG_IGN);
    start_log();
    raise_descriptor_limit();
    try {
        const auto done = run(argc, argv);
        if (done) {
            return 0;
        }
        base::log(base::LogLevel::error, done.error().one_line());
        return static_cast<int>(base::exit_code_for(done.error().code));
    } catch (const std::exception& error) {
        base::log(base::LogLevel::error, base::error_of(error).one_line());
        return static_cast<int>(base::ExitCode::setup);
    }
}
