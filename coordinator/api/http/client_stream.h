// The bytes of one client over TCP, in plain text or, where its first byte begins a TLS handshake,
// in TLS. What Asio calls an AsyncStream, for one read and one write at a time.
#pragma once

#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <memory>
#include <optional>
#include <utility>

namespace potluck::coordinator {

// Lives on its socket's executor.
class ClientStream {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  using executor_type = Socket::executor_type;

  explicit ClientStream(Socket socket) : socket_(std::move(socket)) {}

  Socket& socket() { return socket_; }
  executor_type get_executor() { return socket_.get_executor(); }
  bool is_tls() const { return tls_.has_value(); }

  // Waits for the first byte, and for the handshake where it begins one. handler(error_code); the
  // stream must live until then.
  template <typename Handler>
  void AsyncBegin(std::shared_ptr<boost::asio::ssl::context> context, Handler handler) {
    socket_.async_wait(Socket::wait_read, [this, context = std::move(context),
                                           handler = std::move(handler)](ErrorCode error) mutable {
      unsigned char first = 0;
      if (!error) socket_.receive(boost::asio::buffer(&first, 1), Socket::message_peek, error);
      if (error || first != kTlsHandshake) return handler(error);
      context_ = std::move(context);
      tls_.emplace(socket_, *context_);
      tls_->async_handshake(boost::asio::ssl::stream_base::server, std::move(handler));
    });
  }

  // Says goodbye in TLS, and waits for the client's. handler(error_code)
  template <typename Handler>
  void AsyncGoodbye(Handler handler) {
    tls_->async_shutdown(std::move(handler));
  }

  template <typename Buffers, typename Handler>
  void async_read_some(const Buffers& buffers, Handler&& handler) {
    if (tls_.has_value()) return tls_->async_read_some(buffers, std::forward<Handler>(handler));
    socket_.async_read_some(buffers, std::forward<Handler>(handler));
  }
  template <typename Buffers, typename Handler>
  void async_write_some(const Buffers& buffers, Handler&& handler) {
    if (tls_.has_value()) return tls_->async_write_some(buffers, std::forward<Handler>(handler));
    socket_.async_write_some(buffers, std::forward<Handler>(handler));
  }

 private:
  using ErrorCode = boost::system::error_code;
  // The record type. Source: RFC 8446, 5.1. No HTTP request begins with it.
  static constexpr unsigned char kTlsHandshake = 22;

  Socket socket_;
  std::shared_ptr<boost::asio::ssl::context> context_;  // of tls_
  std::optional<boost::asio::ssl::stream<Socket&>> tls_;
};

}  // namespace potluck::coordinator
