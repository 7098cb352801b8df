// SPDX-License-Identifier: Apache-2.0
#include "prefetch/service/session.hpp"

#include "base/format.hpp"

#include <boost/asio/write.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

namespace slipway::prefetch::service {
namespace {

namespace net = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using Stream = beast::basic_stream<net::local::stream_protocol>;

/// One connection. Plain completion handlers, no coroutines: the states are few (reading, waiting
/// for the answer, writing, streaming), and each handler keeps the session alive.
class Session : public std::enable_shared_from_this<Session>, private Listener {
  public:
    Session(net::local::stream_protocol::socket socket, Peer peer, const SessionLimits& limits,
            Api& api, JobTable& table, std::function<void()> gone)
        : stream_(std::move(socket)), buffer_(buffer_bytes(limits)), peer_(peer), limits_(limits), api_(api), table_(table),
          gone_(std::move(gone)) {}
    ~Session() override {
        stop_listening();
        gone_();
    }
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    void read() {
        parser_.emplace();
        parser_->header_limit(static_cast<std::uint32_t>(limits_.header_bytes));
        parser_->body_limit(limits_.body_bytes);
        stream_.expires_after(limits_.request_timeout);
        http::async_read(stream_, buffer_, *parser_,
                         [self = shared_from_this()](error_code error, std::size_t) {
                             self->have_read(error);
                         });
    }

  private:
    /// All that is ever kept unread: the limits of the parser leave out the extensions of a chunk.
    static std::size_t buffer_bytes(const SessionLimits& limits) {
        return limits.header_bytes + limits.body_bytes;
    }

    void have_read(error_code error) {
        if (error == http::error::body_limit || error == http::error::header_limit ||
            error == http::error::buffer_overflow) {
            return refuse(413, "the request is too large");
        }
        if (error == http::error::end_of_stream || error == beast::error::timeout ||
            error == net::error::operation_aborted) {
            return close();
        }
        if (error) {
            // Whatever it is, it is no HTTP; a peer that is gone gets nothing.
            return error.category() == http::make_error_code(http::error::bad_method).category()
                       ? refuse(400, "the request is not HTTP")
                       : close();
        }
        auto& message = parser_->get();
        keep_alive_ = message.keep_alive();
        ApiRequest request;
        request.method = std::string(message.method_string());
        request.target = std::string(message.target());
        request.api = std::string(message["Slipway-Api"]);
        request.body = std::move(message.body());
        request.peer = peer_;
        stream_.expires_never(); // the answer is ours to give
        api_.handle(request, [self = shared_from_this()](ApiResponse response) {
            self->answer(std::move(response));
        });
    }

    void refuse(unsigned status, const char* why) {
        keep_alive_ = false;
        auto response = error_response({base::Code::service_protocol, 0, why, {}});
        response.status = status;
        answer(std::move(response));
    }

    void answer(ApiResponse response) {
        if (response.stream) {
            return stream_events(std::move(response));
        }
        auto message = std::make_shared<http::response<http::string_body>>();
        message->result(response.status);
        message->set(http::field::content_type, response.content_type);
        message->set("Slipway-Api", std::string(stage::api_version));
        message->keep_alive(keep_alive_);
        message->body() = std::move(response.body);
        message->prepare_payload();
        stream_.expires_after(limits_.write_timeout);
        http::async_write(stream_, *message,
                          [self = shared_from_this(), message](error_code error, std::size_t) {
                              if (error || !self->keep_alive_) {
                                  self->close();
                              } else {
                                  self->read();
                              }
                          });
    }

    // ---- events: chunked JSON lines until the job ends or the peer goes ----

    void stream_events(ApiResponse response) {
        job_ = std::move(response.stream);
        unsent_ = fmt::format("HTTP/1.1 200 OK\r\nContent-Type: {}\r\nSlipway-Api: {}\r\n"
                              "Transfer-Encoding: chunked\r\nConnection: {}\r\n\r\n",
                              response.content_type, stage::api_version,
                              keep_alive_ ? "keep-alive" : "close");
        streaming_ = true;
        watch_peer(); // its pending wait is what keeps a listening session alive
        table_.listen(*job_, *this);
    }

    /// While events are sent nothing may come from the peer; the end of the stream means that it has
    /// gone, so that work which nobody waits for can be cancelled.
    void watch_peer() {
        stream_.socket().async_wait(net::local::stream_protocol::socket::wait_read,
                                    [self = shared_from_this()](error_code) { self->peer_spoke(); });
    }

    void peer_spoke() {
        if (!streaming_ || last_queued_) {
            return; // the answer is on its way out: the next read() sees whatever there is
        }
        close();
        stop_listening();
    }

    void event(const Report& report) override {
        if (unsent_.size() > limits_.unsent_bytes) {
            close();
            stop_listening();
            return;
        }
        const auto& line = report.line();
        unsent_ += fmt::format("{:x}\r\n{}\n\r\n", line.size() + 1, line);
        if (report.last()) {
            unsent_ += "0\r\n\r\n";
            last_queued_ = true;
        }
        write_events();
    }

    void write_events() {
        if (writing_ || unsent_.empty()) {
            return;
        }
        writing_ = true;
        sending_.swap(unsent_);
        unsent_.clear();
        stream_.expires_after(limits_.write_timeout);
        net::async_write(stream_, net::buffer(sending_),
                         [self = shared_from_this()](error_code error, std::size_t) {
                             self->have_written(error);
                         });
    }

    void have_written(error_code error) {
        writing_ = false;
        if (error) {
            close();
            return stop_listening();
        }
        if (!unsent_.empty()) {
            return write_events();
        }
        stream_.expires_never();
        if (last_queued_) {
            stop_listening();
            last_queued_ = false;
            sending_ = {};
            error_code ignored;
            stream_.socket().cancel(ignored); // ends watch_peer()
            if (keep_alive_) {
                read();
            } else {
                close();
            }
        }
    }

    void stop_listening() {
        streaming_ = false;
        if (job_) {
            table_.unlisten(*job_, *this, Clock::now());
            job_.reset();
        }
    }

    void close() {
        error_code ignored;
        stream_.socket().shutdown(net::local::stream_protocol::socket::shutdown_both, ignored);
        stream_.close();
    }

    Stream stream_;
    beast::flat_buffer buffer_;
    std::optional<http::request_parser<http::string_body>> parser_;
    Peer peer_;
    const SessionLimits& limits_;
    Api& api_;
    JobTable& table_;
    std::function<void()> gone_;
    bool keep_alive_ = true;

    std::shared_ptr<Job> job_;
    std::string unsent_;
    std::string sending_;
    bool writing_ = false;
    bool last_queued_ = false;
    bool streaming_ = false;
};

} // namespace

void start_session(net::local::stream_protocol::socket socket, Peer peer,
                   const SessionLimits& limits, Api& api, JobTable& table,
                   std::function<void()> gone) {
    std::make_shared<Session>(std::move(socket), peer, limits, api, table, std::move(gone))->read();
}

} // namespace slipway::prefetch::service
