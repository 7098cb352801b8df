// SPDX-License-Identifier: Apache-2.0
#include "prefetch/service/server.hpp"

#include "base/barrier.hpp"
#include "base/format.hpp"
#include "base/log.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "base/trusted_path.hpp"

#include <csignal>
#include <cstring>
#include <exception>
#include <map>
#include <thread>

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <fcntl.h>
#include <malloc.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace slipway::prefetch::service {
namespace {

namespace net = boost::asio;
using boost::system::error_code;
using Protocol = net::local::stream_protocol;

base::Result<Peer> peer_of(Protocol::socket& socket) {
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (::getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
        return base::fail_errno(base::Code::system, errno, "cannot find out who is calling");
    }
    return Peer{credentials.uid, credentials.pid};
}

void log_failure(std::string_view what, std::string_view why) noexcept {
    try {
        base::log(base::LogLevel::error, fmt::format("{} failed: {}", what, why));
    } catch (...) {
        // No memory for a line: the service goes on without it.
    }
}

/// True when somebody answers on the socket file.
bool is_alive(const std::string& path) {
    const base::UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), std::min(path.size() + 1, sizeof address.sun_path));
    return probe && ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address),
                              sizeof address) == 0;
}

constexpr unsigned memory_pause_us = 100000; ///< where memory is short

/// Runs `body`; whatever it throws is logged and ends here.
template <typename Body> bool runs_well(std::string_view what, Body&& body) noexcept {
    try {
        body();
        return true;
    } catch (const std::exception& error) {
        log_failure(what, base::error_of(error).one_line());
    } catch (...) {
        log_failure(what, "internal: unknown exception");
    }
    return false;
}

/// How every line about a work names it: a journal is searched by any of the three.
std::string who_and_what(const std::string& id, const stage::StageRequest& request) {
    return fmt::format("request={} user={} image={}", id, request.uid,
                       base::in_quotes(request.reference));
}

void log_outcome(const std::string& id, const stage::StageRequest& request,
                 const base::Result<stage::StagedImage>& result) {
    if (result) {
        base::log(base::LogLevel::info,
                  fmt::format("{}: {} digest={} sif={}", result->was_present ? "was staged" : "staged",
                              who_and_what(id, request), result->digest, result->id));
    } else {
        base::log(base::LogLevel::warning, fmt::format("staging failed: {} {}", who_and_what(id, request),
                                                       result.error().one_line()));
    }
}

} // namespace

struct Server::Impl {
    // Sessions end with the handlers that `io` holds and still speak to table and counters then:
    // those come first, so that they are destroyed last.
    ServerOptions options;
    store::Store store;
    stage::StageFunction stage;
    Metrics metrics;
    JobTable table;
    Api api;
    std::map<uid_t, std::size_t> connections_of;
    std::size_t connections = 0;
    bool stopping = false;
    bool own_socket_file = false;
    net::io_context io{1};
    net::thread_pool workers;
    net::thread_pool looks{1}; ///< looks for one image in the store, which answers wait for
    net::thread_pool disk{1};  ///< listings and changes of the store, and the rest that may take long
    Protocol::acceptor acceptor{io};
    net::steady_timer timer{io};
    net::signal_set signals{io};
    std::function<void()> every_second;

    Impl(ServerOptions given, store::Store opened, stage::StageFunction stage_function)
        : options(std::move(given)), store(std::move(opened)), stage(std::move(stage_function)),
          table(options.table, [this](std::shared_ptr<Job> job) { work(std::move(job)); }),
          api(table, metrics, store, ::geteuid(), off_thread(looks), off_thread(disk)),
          workers(options.table.workers + options.table.reserve) {}

    /// Hands something to the control thread that must not get lost: where memory is short the calling
    /// worker waits until there is some.
    template <typename Task> void surely_post(Task task) noexcept {
        while (!runs_well("handing on a result", [&] { net::post(io, task); })) {
            ::usleep(memory_pause_us);
        }
    }

    OffThread off_thread(net::thread_pool& pool) {
        return [this, &pool](std::function<void()> work, std::function<void(bool)> then) {
            // What follows stays with the control thread: it holds connections, and the last copy of
            // one must not go on a worker.
            const auto ticket = next_ticket++;
            follow_ups.emplace(ticket, std::move(then));
            net::post(pool, [this, work = std::move(work), ticket] {
                const bool done = runs_well("work on the store", work);
                surely_post([this, ticket, done] {
                    const auto follow_up = follow_ups.extract(ticket);
                    follow_up.mapped()(done);
                });
            });
        };
    }
    std::uint64_t next_ticket = 0;
    std::map<std::uint64_t, std::function<void(bool)>> follow_ups;

    void work(std::shared_ptr<Job> job) {
        // The table counts it as running: it must begin, or nobody would ever end it.
        while (!runs_well("beginning work", [&] { begin(*job); })) {
            ::usleep(memory_pause_us);
        }
    }

    /// One image on one worker thread; what happens is reported to the table on the control thread.
    void begin(const Job& job) {
        auto result = std::make_shared<base::Result<stage::StagedImage>>(
            base::fail(base::Code::internal, "the service could not work on this image",
                       "try again; if it stays so, report it to your site"));
        base::log(base::LogLevel::info, "staging begins: " + who_and_what(job.id, job.request));
        net::post(workers, [this, result = std::move(result), id = job.id, request = job.request,
                            stop = job.cancel.get_token()] {
            // The engine may call it from threads of its own: nothing is thrown there, and a report
            // that finds no memory is only one report less.
            const auto sink = [this, &id](const stage::StageProgress& progress) {
                (void)runs_well("reporting progress", [&] {
                    net::post(io, [this, id, progress] {
                        table.progressed(id, progress, Clock::now());
                    });
                });
            };
            (void)runs_well("staging", [&] { *result = stage(request, sink, stop); });
            (void)runs_well("logging", [&] { log_outcome(id, request, *result); });
            surely_post([this, id, result] { done(id, std::move(*result)); });
        });
    }

    void done(const std::string& id, base::Result<stage::StagedImage> result) {
        if (result) {
            auto& counter = result->was_present ? metrics.present : metrics.staged;
            counter.fetch_add(1);
            metrics.bytes_out.fetch_add(result->was_present ? 0 : result->size);
        } else {
            metrics.failed.fetch_add(1);
        }
        if (stopping && !result) {
            table.abandoned(id);
        } else {
            table.finished(id, std::move(result), Clock::now());
        }
        if (table.running() != 0) {
            return;
        }
        if (stopping) {
            io.stop();
        } else {
            give_memory_back();
        }
    }

    /// What conversions and answers needed goes back to the system when nothing is going on.
    void give_memory_back() {
        net::post(disk, [] { ::malloc_trim(0); });
    }

    void accept() {
        acceptor.async_accept([this](error_code error, Protocol::socket socket) {
            if (error == net::error::operation_aborted) {
                return;
            }
            if (!error) {
                (void)runs_well("a connection", [&] { admit(std::move(socket)); });
                accept();
                return;
            }
            // Out of descriptors: the caller waits in the backlog until some are given back.
            base::log(base::LogLevel::warning, "cannot accept a connection: " + error.message());
            auto pause = std::make_shared<net::steady_timer>(io, std::chrono::milliseconds(100));
            pause->async_wait([this, pause](error_code) { accept(); });
        });
    }

    void admit(Protocol::socket socket) {
        const auto peer = peer_of(socket);
        if (!peer) {
            return;
        }
        auto& mine = connections_of[peer->uid];
        const auto free = options.max_connections - std::min(connections, options.max_connections);
        if (free == 0 || (peer->uid != 0 && mine >= options.share_of_free * free)) {
            return refuse_connection(socket, peer->uid, mine);
        }
        ++mine;
        ++connections;
        metrics.connections.store(connections);
        start_session(std::move(socket), *peer, options.session, api, table,
                      [this, uid = peer->uid] {
                          --connections;
                          metrics.connections.store(connections);
                          if (--connections_of[uid] == 0) {
                              connections_of.erase(uid);
                          }
                      });
    }

    void refuse_connection(Protocol::socket& socket, uid_t uid, std::size_t mine) {
        static const auto answer = [] {
            const auto body = error_response({base::Code::service_busy, 0,
                                              "too many connections to the service are open",
                                              "try again in a minute"})
                                  .body;
            return fmt::format("HTTP/1.1 503 Service Unavailable\r\nSlipway-Api: {}\r\n"
                               "Content-Type: application/json\r\nContent-Length: {}\r\n"
                               "Connection: close\r\n\r\n{}",
                               stage::api_version, body.size(), body);
        }();
        if (mine == 0) {
            connections_of.erase(uid);
        }
        error_code ignored;
        socket.non_blocking(true, ignored);
        (void)!::send(socket.native_handle(), answer.data(), answer.size(), MSG_NOSIGNAL);
        metrics.refused.fetch_add(1);
    }

    void tick() {
        timer.expires_after(std::chrono::seconds(1));
        timer.async_wait([this](error_code error) {
            if (!error) {
                tick(); // first, so that an exception below ends nothing else
                table.tick(Clock::now());
                api.tick(Clock::now());
                if (every_second) {
                    every_second();
                }
            }
        });
    }

    void begin_stop() {
        if (stopping) {
            return;
        }
        stopping = true;
        base::log(base::LogLevel::info, "stopping: unfinished work is cancelled and swept");
        error_code ignored;
        acceptor.close(ignored);
        table.cancel_all();
        if (table.running() == 0) {
            io.stop();
            return;
        }
        auto limit = std::make_shared<net::steady_timer>(io, options.drain);
        limit->async_wait([this, limit](error_code) { io.stop(); });
    }
};

Server::Server(ServerOptions options, store::Store store, stage::StageFunction stage)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(store), std::move(stage))) {}

Server::~Server() = default;

base::Result<void> Server::listen(int inherited_fd) {
    error_code error;
    if (inherited_fd >= 0) {
        impl_->acceptor.assign(Protocol(), inherited_fd, error);
    } else {
        const auto& path = impl_->options.socket_path;
        if (path.size() >= sizeof(sockaddr_un::sun_path)) {
            return base::fail(base::Code::config_invalid,
                              "the socket path " + base::in_quotes(path) + " is too long",
                              "a Unix socket's path has at most 107 characters");
        }
        const std::string directory(base::dir_name(path));
        TRY(base::make_directories(directory, 0755));
        TRY(base::open_trusted(directory, O_PATH | O_DIRECTORY, ::geteuid(),
                               base::Code::config_insecure));
        if (is_alive(path)) {
            return base::fail(base::Code::service_busy,
                              "another service answers on " + base::in_quotes(path),
                              "stop it first, or set service.listen");
        }
        ::unlink(path.c_str());
        const auto mask = ::umask(0);
        impl_->acceptor.open(Protocol(), error);
        if (!error) {
            impl_->acceptor.bind(Protocol::endpoint(path), error);
        }
        ::umask(mask);
        if (!error) {
            impl_->own_socket_file = true;
            impl_->acceptor.listen(4096, error);
        }
    }
    if (error) {
        return base::fail_errno(base::Code::service_unreachable, error.value(),
                                "cannot listen on " + base::in_quotes(impl_->options.socket_path));
    }
    return {};
}

void Server::run(const std::function<void()>& started, const std::function<void()>& every_second) {
    auto& impl = *impl_;
    impl.every_second = every_second;
    impl.signals.add(SIGTERM);
    impl.signals.add(SIGINT);
    impl.signals.async_wait([&impl](error_code error, int) {
        if (!error) {
            impl.begin_stop();
        }
    });
    impl.accept();
    impl.tick();
    net::post(impl.io, started);
    // A handler that throws has ended its own connection; the loop goes on.
    while (!runs_well("a request", [&impl] { impl.io.run(); })) {
    }
    impl.table.cancel_all();
    impl.workers.join();
    impl.looks.join();
    impl.disk.join();
    if (impl.own_socket_file) {
        ::unlink(impl.options.socket_path.c_str());
    }
}

void Server::stop() {
    net::post(impl_->io, [this] { impl_->begin_stop(); });
}

} // namespace slipway::prefetch::service
