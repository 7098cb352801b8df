// SPDX-License-Identifier: Apache-2.0
// Transfers by libcurl; its URL object is in url.cpp.
#include "prefetch/transfer/curl_engine.hpp"

#include "base/barrier.hpp"
#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "prefetch/transfer/curl_meanings.hpp"
#include "prefetch/transfer/curl_handles.hpp"
#include "prefetch/transfer/transfer.hpp"
#include "prefetch/transfer/url_handle.hpp"

#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <optional>
#include <thread>
#include <unordered_map>

#include <curl/curl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace slipway::prefetch::transfer {
namespace {
using base::Code;

constexpr long slow_bytes_per_second = 64;
constexpr std::size_t max_header_bytes = 64 * 1024;
constexpr long curl_buffer = 128 * 1024;

/// The engine's side of a transfer; only its thread touches it.
struct Operation {
    std::shared_ptr<Transfer> transfer;
    UrlHandle url; ///< what `easy` fetches, and must outlive it
    std::unique_ptr<CURL, EasyDeleter> easy;
    HeaderList headers;
    std::string ca_bundle;
    std::array<char, CURL_ERROR_SIZE> message{};
    AddressPolicy* policy = nullptr;
    bool public_only = false;
    bool proxied = false;
    std::string refused_address;  ///< why the socket was not opened
    bool literal_refused = false; ///< the user wrote the address: nothing to hide
    bool headers_too_long = false;
    bool out_of_memory = false;
    std::size_t header_bytes = 0;
    std::chrono::steady_clock::time_point begun = std::chrono::steady_clock::now();
    HttpHead head; ///< being collected
};

ExchangeFailure cancelled(std::string why) {
    return {base::Error{Code::interrupted, 0, std::move(why), {}}, false, false};
}

void finish(const std::shared_ptr<Transfer>& transfer, std::optional<ExchangeFailure> failure) {
    {
        const std::lock_guard lock(transfer->mutex);
        if (transfer->finished) {
            return;
        }
        transfer->finished = true;
        transfer->failed = failure.has_value();
        if (failure) {
            transfer->failure = std::move(*failure);
        }
    }
    transfer->changed.notify_all();
}

/// Short enough to be made where there is no memory.
ExchangeFailure no_memory() {
    return {{Code::limit_exceeded, ENOMEM, "no memory", {}}, true, false};
}

ExchangeFailure shutting_down() {
    auto failure = no_memory();
    (void)base::completes([&] { failure = cancelled("the HTTP client is shutting down"); });
    return failure;
}

// --- callbacks of libcurl -------------------------------------------------------------------

// No exception may pass through libcurl: where memory is short the one transfer fails.

/// The last word on an address: it is the one that connect(2) gets.
curl_socket_t open_socket(void* user, curlsocktype, curl_sockaddr* address) noexcept {
    auto& op = *static_cast<Operation*>(user);
    const auto kind = classify(&address->addr, address->addrlen);
    const auto& url = op.transfer->request.url;
    if (op.public_only && !op.proxied && kind != AddressKind::global && !op.policy->trusts(url)) {
        const bool noted = base::completes([&] {
            op.refused_address =
                fmt::format("{} is at a {} address", url.host_port(), address_kinds.name(kind));
        });
        op.out_of_memory = !noted;
        return CURL_SOCKET_BAD;
    }
    op.refused_address.clear(); // another address of the same name may be used
    return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

AddressKind peer_kind(CURL* easy) {
    const char* address = nullptr;
    if (curl_easy_getinfo(easy, CURLINFO_PRIMARY_IP, &address) != CURLE_OK || address == nullptr ||
        *address == '\0') {
        return AddressKind::other;
    }
    return classify_text(address);
}

void publish_head(Operation& op) {
    long status = 0;
    curl_easy_getinfo(op.easy.get(), CURLINFO_RESPONSE_CODE, &status);
    if (status < 200) {
        return; // 100 Continue and its like announce the real head
    }
    op.head.status = static_cast<int>(status);
    op.head.peer = peer_kind(op.easy.get());
    op.head.proxied = op.proxied;
    {
        const std::lock_guard lock(op.transfer->mutex);
        op.transfer->head = op.head;
        op.transfer->have_head = true;
    }
    op.transfer->changed.notify_all();
}

void take_header(Operation& op, std::string_view line) {
    while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) {
        line.remove_suffix(1);
    }
    if (line.rfind("HTTP/", 0) == 0) {
        op.head.headers.clear();
    } else if (line.empty()) {
        publish_head(op);
    } else if (const auto colon = line.find(':'); colon != std::string_view::npos) {
        op.head.headers.add(base::trim(line.substr(0, colon)), base::trim(line.substr(colon + 1)));
    }
}

std::size_t on_header(char* data, std::size_t size, std::size_t count, void* user) noexcept {
    auto& op = *static_cast<Operation*>(user);
    if (op.head.status != 0) {
        return size * count; // a trailer after a chunked body
    }
    op.header_bytes += size * count;
    if (op.header_bytes > max_header_bytes) {
        op.headers_too_long = true;
        return 0;
    }
    op.out_of_memory = !base::completes([&] { take_header(op, {data, size * count}); });
    return op.out_of_memory ? 0 : size * count;
}

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* user) noexcept {
    auto& op = *static_cast<Operation*>(user);
    auto& transfer = *op.transfer;
    const std::string_view bytes(data, size * count);
    {
        const std::lock_guard lock(transfer.mutex);
        if (transfer.queued > 0 &&
            transfer.queued + bytes.size() > transfer.request.buffer_bytes) {
            transfer.paused = true; // libcurl keeps the bytes and offers them again
            return CURL_WRITEFUNC_PAUSE;
        }
        op.out_of_memory = !base::completes([&] { transfer.put(bytes); });
    }
    if (op.out_of_memory) {
        return 0;
    }
    transfer.changed.notify_all();
    return bytes.size();
}

// --- what went wrong --------------------------------------------------------------------------

/// What is slower than this was a time-out of the resolver's, and no answer.
constexpr std::chrono::seconds quick_answer{3};

/// What happened, by the table, in libcurl's own words.
ExchangeFailure failure_by(const CurlMeaning& meaning, const Operation& op, std::string_view detail) {
    const auto& url = op.transfer->request.url;
    ExchangeFailure failure{{meaning.ours, 0,
                             fmt::format("{}: {} ({})", url.origin(), meaning.text,
                                         base::printable(detail)),
                             meaning.hint},
                            meaning.again != Again::no,
                            meaning.again == Again::connect || meaning.again == Again::name};
    if (meaning.again == Again::name &&
        std::chrono::steady_clock::now() - op.begun < quick_answer) {
        failure.unresolved = url.host;
    } else if (meaning.again == Again::handshake) {
        failure.transient = !refused_by_tls(detail);
    } else if (meaning.again == Again::answer) {
        curl_off_t ready_to_send = 0; // microseconds
        curl_easy_getinfo(op.easy.get(), CURLINFO_PRETRANSFER_TIME_T, &ready_to_send);
        failure.never_connected = ready_to_send == 0;
    }
    return failure;
}

ExchangeFailure failure_of(const Operation& op, CURLcode code) {
    const auto where = op.transfer->request.url.origin();
    if (op.literal_refused) {
        return {base::Error{Code::source_denied, 0,
                            op.refused_address + ", which this service does not connect to",
                            allow_hint},
                false, false};
    }
    // Users of the service learn nothing about the names of the site: whether a name is unknown or
    // leads to a forbidden address is one answer, after one attempt.
    if (op.public_only && (!op.refused_address.empty() || code == CURLE_COULDNT_RESOLVE_HOST)) {
        base::log(base::LogLevel::info,
                  op.refused_address.empty() ? where + ": the name cannot be resolved"
                                             : op.refused_address + ": refused");
        ExchangeFailure failure{
            base::Error{Code::source_unreachable, 0,
                        where + ": the name leads to no address that this service connects to",
                        fmt::format("check the name; {}", allow_hint)},
            false, true};
        if (op.refused_address.empty()) {
            failure.unresolved = op.transfer->request.url.host;
        }
        return failure;
    }
    if (op.headers_too_long) {
        return {base::Error{Code::limit_exceeded, 0, where + ": the header of the answer is too long",
                            {}},
                false, false};
    }
    const char* detail = op.message[0] != '\0' ? op.message.data() : curl_easy_strerror(code);
    for (const auto& meaning : meanings) {
        if (meaning.code == code) {
            return failure_by(meaning, op, detail);
        }
    }
    return {base::Error{Code::source_unreachable, 0,
                        fmt::format("{}: {}", where, base::printable(detail)), {}},
            false, false};
}

// --- setting up one transfer --------------------------------------------------------------------

bool clean_header(std::string_view text) {
    return text.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

bool set_headers(Operation& op) {
    const auto& request = op.transfer->request;
    for (const auto& [name, value] : request.headers) {
        if (!clean_header(name) || !clean_header(value) ||
            !op.headers.add(fmt::format("{}: {}", name, value).c_str())) {
            return false;
        }
    }
    if (request.method == "POST" && !op.headers.add("Expect:")) {
        return false; // no waiting for 100 Continue
    }
    if (!request.authorization.empty()) {
        std::string line("Authorization: ");
        line += request.authorization.reveal();
        const base::WipeAtEnd wiping(line);
        if (!clean_header(line) || !op.headers.add(line.c_str())) {
            return false;
        }
    }
    return curl_easy_setopt(op.easy.get(), CURLOPT_HTTPHEADER, op.headers.get()) == CURLE_OK;
}

bool set_certificates(Operation& op, const base::Environment& environment) {
    CURL* easy = op.easy.get();
    const auto& ca_file = op.transfer->request.ca_file;
    const auto system_file = environment("SSL_CERT_FILE");
    const auto system_dir = environment("SSL_CERT_DIR");
    if (!system_dir.empty()) {
        curl_easy_setopt(easy, CURLOPT_CAPATH, system_dir.c_str());
    }
    if (ca_file.empty() || system_file.empty()) {
        const auto& file = ca_file.empty() ? system_file : ca_file;
        // CURLOPT_CAPATH keeps the system's folder, so that ca_file adds to what is trusted.
        return file.empty() || curl_easy_setopt(easy, CURLOPT_CAINFO, file.c_str()) == CURLE_OK;
    }
    constexpr std::size_t max_bundle = 8 << 20;
    auto first = base::read_file(ca_file, max_bundle);
    auto second = base::read_file(system_file, max_bundle);
    if (!first || !second) {
        op.message.fill('\0');
        return false;
    }
    op.ca_bundle = *first + "\n" + *second;
    curl_blob blob{op.ca_bundle.data(), op.ca_bundle.size(), CURL_BLOB_NOCOPY};
    return curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob) == CURLE_OK;
}

void set_method(Operation& op) {
    const auto& request = op.transfer->request;
    CURL* easy = op.easy.get();
    if (request.method == "HEAD") {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (request.method == "POST") {
        const auto body = request.body.reveal();
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body.empty() ? "" : body.data());
    } else {
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    }
}

void set_callbacks(Operation& op) {
    CURL* easy = op.easy.get();
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, op.message.data());
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, &open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, &op);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, &op);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &op);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, &op);
}

void set_limits(Operation& op) {
    const auto& request = op.transfer->request;
    CURL* easy = op.easy.get();
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(request.connect_timeout.count()));
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, slow_bytes_per_second);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, static_cast<long>(request.idle_timeout.count()));
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, curl_buffer);
    if (request.max_bytes_per_second != 0) {
        curl_easy_setopt(easy, CURLOPT_MAX_RECV_SPEED_LARGE,
                         static_cast<curl_off_t>(request.max_bytes_per_second));
    }
    if (request.public_only) {
        // A connection from the pool may have been made by a request that was allowed more.
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    }
}

void set_transport(Operation& op, const HttpClient::Options& options) {
    const auto& request = op.transfer->request;
    CURL* easy = op.easy.get();
    const auto proxy = proxy_for(request.url, options.environment);
    op.proxied = !proxy.empty();
    curl_easy_setopt(easy, CURLOPT_CURLU, op.url.get());
    curl_easy_setopt(easy, CURLOPT_PROXY, proxy.c_str()); // "" keeps libcurl from looking itself
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    curl_easy_setopt(easy, CURLOPT_USERAGENT, options.user_agent.c_str());
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
}

} // namespace

// --- the thread ---------------------------------------------------------------------------------

struct CurlEngine::State {
    enum class What { add, cancel, unpause };
    struct Command {
        What what;
        std::shared_ptr<Transfer> transfer;
    };

    explicit State(HttpClient::Options given) : options(std::move(given)) {}

    HttpClient::Options options;
    std::unique_ptr<CURLM, MultiDeleter> multi;
    std::unordered_map<Transfer*, std::unique_ptr<Operation>> running; ///< the thread's own
    std::mutex mutex;
    std::vector<Command> commands;
    bool stopping = false;
    std::thread thread;

    void post(What what, const std::shared_ptr<Transfer>& transfer);
    void run();
    void obey(const Command& command);
    void begin(const std::shared_ptr<Transfer>& transfer);
    void end(Transfer* transfer, std::optional<ExchangeFailure> failure);
    void collect_finished();
};

void CurlEngine::State::post(What what, const std::shared_ptr<Transfer>& transfer) {
    bool taken = false;
    {
        const std::lock_guard lock(mutex);
        taken = !stopping;
        if (taken) {
            commands.push_back({what, transfer});
        }
    }
    if (taken) {
        curl_multi_wakeup(multi.get());
    } else {
        finish(transfer, shutting_down());
    }
}

void CurlEngine::State::begin(const std::shared_ptr<Transfer>& transfer) {
    auto op = std::make_unique<Operation>();
    op->transfer = transfer;
    op->easy.reset(curl_easy_init());
    op->policy = &options.addresses;
    op->public_only = options.addresses.public_only || transfer->request.public_only;
    const auto& url = transfer->request.url;
    if (!op->easy) {
        finish(transfer, failure_of(*op, CURLE_OUT_OF_MEMORY));
        return;
    }
    auto parsed = url_handle(url);
    if (!parsed) {
        finish(transfer, ExchangeFailure{std::move(parsed).error(), false, false});
        return;
    }
    op->url = std::move(*parsed);
    set_transport(*op, options);
    set_method(*op);
    set_callbacks(*op);
    set_limits(*op);
    // Literal addresses are judged here too: behind a proxy no socket of ours goes there.
    const auto kind = classify_text(url.host);
    if (op->public_only && kind != AddressKind::global && !options.addresses.trusts(url)) {
        op->refused_address =
            fmt::format("{} is a {} address", url.host_port(), address_kinds.name(kind));
        op->literal_refused = true;
        finish(transfer, failure_of(*op, CURLE_COULDNT_CONNECT));
        return;
    }
    if (!set_headers(*op)) {
        finish(transfer, failure_of(*op, CURLE_BAD_FUNCTION_ARGUMENT));
        return;
    }
    if (!set_certificates(*op, options.environment)) {
        finish(transfer, failure_of(*op, CURLE_SSL_CACERT_BADFILE));
        return;
    }
    if (curl_multi_add_handle(multi.get(), op->easy.get()) != CURLM_OK) {
        finish(transfer, failure_of(*op, CURLE_FAILED_INIT));
        return;
    }
    running.emplace(transfer.get(), std::move(op));
}

void CurlEngine::State::end(Transfer* transfer, std::optional<ExchangeFailure> failure) {
    const auto found = running.find(transfer);
    if (found == running.end()) {
        return;
    }
    auto op = std::move(found->second);
    running.erase(found);
    curl_multi_remove_handle(multi.get(), op->easy.get());
    finish(op->transfer, std::move(failure));
}

void CurlEngine::State::obey(const Command& command) {
    switch (command.what) {
    case What::add:
        begin(command.transfer);
        break;
    case What::cancel:
        end(command.transfer.get(), cancelled("the download was cancelled"));
        break;
    case What::unpause:
        if (const auto found = running.find(command.transfer.get()); found != running.end()) {
            curl_easy_pause(found->second->easy.get(), CURLPAUSE_CONT);
        }
        break;
    }
}

void CurlEngine::State::collect_finished() {
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi.get(), &left)) {
        if (message->msg != CURLMSG_DONE) {
            continue;
        }
        char* user = nullptr;
        const auto code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &user);
        auto& op = *reinterpret_cast<Operation*>(user);
        std::optional<ExchangeFailure> failure;
        const auto explain = [&] {
            if (code != CURLE_OK || op.head.status == 0) {
                failure = failure_of(op, code != CURLE_OK ? code : CURLE_GOT_NOTHING);
            }
        };
        if (op.out_of_memory || !base::completes(explain)) {
            failure = no_memory();
        }
        end(op.transfer.get(), std::move(failure));
    }
}

void CurlEngine::State::run() {
    for (;;) {
        std::vector<Command> todo;
        bool ending = false;
        {
            const std::lock_guard lock(mutex);
            todo.swap(commands);
            ending = stopping;
        }
        if (ending) {
            for (const auto& command : todo) {
                if (command.what == What::add) {
                    finish(command.transfer, shutting_down());
                }
            }
            break;
        }
        for (const auto& command : todo) {
            if (!base::completes([&] { obey(command); })) {
                finish(command.transfer, no_memory());
            }
        }
        int still_running = 0;
        curl_multi_perform(multi.get(), &still_running);
        collect_finished();
        curl_multi_poll(multi.get(), nullptr, 0, 10'000, nullptr);
    }
    while (!running.empty()) {
        end(running.begin()->first, shutting_down());
    }
}

CurlEngine::CurlEngine(std::unique_ptr<State> state) : state_(std::move(state)) {}

CurlEngine::~CurlEngine() { shut_down(); }

base::Result<std::unique_ptr<CurlEngine>> CurlEngine::start(HttpClient::Options options) {
    // Safe in threads since libcurl 7.84; the static keeps it to one call for each process.
    static const CURLcode global = curl_global_init(CURL_GLOBAL_DEFAULT);
    auto state = std::make_unique<State>(std::move(options));
    state->multi.reset(global == CURLE_OK ? curl_multi_init() : nullptr);
    if (!state->multi) {
        return base::fail(Code::system, "libcurl cannot be initialised");
    }
    curl_multi_setopt(state->multi.get(), CURLMOPT_MAXCONNECTS, 32L);
    // Signals belong to the main thread; SIGPIPE of a broken TLS connection must not end us.
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    auto* raw = state.get();
    raw->thread = std::thread([raw] { raw->run(); });
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return std::unique_ptr<CurlEngine>(new CurlEngine(std::move(state)));
}

void CurlEngine::add(const std::shared_ptr<Transfer>& transfer) {
    state_->post(State::What::add, transfer);
}

void CurlEngine::cancel(const std::shared_ptr<Transfer>& transfer) noexcept {
    // It must arrive, or the download would go on for nobody.
    constexpr unsigned memory_pause_us = 100'000;
    while (!base::completes([&] { state_->post(State::What::cancel, transfer); })) {
        ::usleep(memory_pause_us);
    }
}

void CurlEngine::unpause(const std::shared_ptr<Transfer>& transfer) {
    state_->post(State::What::unpause, transfer);
}

void CurlEngine::shut_down() noexcept {
    {
        const std::lock_guard lock(state_->mutex);
        state_->stopping = true;
    }
    curl_multi_wakeup(state_->multi.get());
    if (state_->thread.joinable()) {
        state_->thread.join();
    }
}

} // namespace slipway::prefetch::transfer
