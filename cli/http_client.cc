#include "cli/http_client.h"

#include <array>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <chrono>
#include <optional>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "cli/terminal.h"
#include "common/host_port.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace potluck::cli {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using beast::error_code;

constexpr uint16_t kPotluckPort = 7070, kHttpsPort = 443;
constexpr std::chrono::seconds kConnectTimeout(5);
constexpr size_t kLongestReply = size_t{64} << 20;

// One connection and the person's Ctrl-C: an operation runs until it is done or interrupted.
class Session {
 public:
  Session() : stream_(io_), interrupt_(io_) {
    // A copy, because the descriptor closes what it holds.
    if (InterruptDescriptor() >= 0) interrupt_.assign(dup(InterruptDescriptor()));
  }

  // `start` begins an operation on the stream that it is given, with the handler.
  template <typename Start>
  error_code Run(Start start) {
    if (Interrupted()) return asio::error::operation_aborted;
    error_code result;
    const auto done = [&](error_code error, auto&&...) {
      result = error;
      interrupt_.cancel();
    };
    if (tls_.has_value()) {
      start(*tls_, done);
    } else {
      start(stream_, done);
    }
    if (interrupt_.is_open()) {
      interrupt_.async_wait(asio::posix::stream_descriptor::wait_read, [&](error_code error) {
        if (!error) stream_.cancel();
      });
    }
    io_.restart();
    io_.run();
    return result;
  }

  error_code Connect(const HostPort& at, bool tls) {
    error_code error;
    asio::ip::tcp::resolver resolver(io_);
    const auto endpoints = resolver.resolve(at.host, std::to_string(at.port), error);
    if (error) return error;
    stream_.expires_after(kConnectTimeout);
    error = Run([&](auto&, auto handler) { stream_.async_connect(endpoints, handler); });
    if (!error && tls) error = ShakeHands(at.host);
    stream_.expires_never();
    return error;
  }

 private:
  // The server has to show a certificate for that name or address, of an authority that this
  // machine trusts, or of $SSL_CERT_FILE, which OpenSSL looks at itself.
  error_code ShakeHands(const std::string& host) {
    error_code error;
    context_.set_default_verify_paths(error);
    if (error) return error;
    tls_.emplace(stream_, context_);
    tls_->set_verify_mode(asio::ssl::verify_peer);
    tls_->set_verify_callback(asio::ssl::host_name_verification(host));
    asio::ip::make_address(host, error);
    // An address is not asked for by name. Source: RFC 6066, 3.
    if (error) SSL_set_tlsext_host_name(tls_->native_handle(), host.c_str());
    return Run([&](auto&, auto handler) {
      tls_->async_handshake(asio::ssl::stream_base::client, handler);
    });
  }

  asio::io_context io_{1};
  asio::ssl::context context_{asio::ssl::context::tls_client};
  beast::tcp_stream stream_;
  std::optional<asio::ssl::stream<beast::tcp_stream&>> tls_;
  asio::posix::stream_descriptor interrupt_;
};

}  // namespace

absl::StatusOr<HttpClient> HttpClient::Create(std::string_view url, std::string api_key) {
  absl::string_view rest = ToAbsl(url);
  const bool tls = absl::ConsumePrefix(&rest, "https://");
  if (!tls && !absl::ConsumePrefix(&rest, "http://")) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", Printable(url), "\" is no address of a cluster; write http://HOST:7070"));
  }
  absl::ConsumeSuffix(&rest, "/");
  POTLUCK_ASSIGN_OR_RETURN(const HostPort at,
                           ParseHostPort(WithPort(ToStd(rest), tls ? kHttpsPort : kPotluckPort)));
  return HttpClient(tls, at, std::move(api_key));
}

std::string HttpClient::url() const {
  return absl::StrCat(tls_ ? "https://" : "http://", JoinHostPort(at_.host, at_.port));
}

absl::StatusOr<HttpReply> HttpClient::Call(
    std::string_view method, const std::string& path, const std::string& body,
    const std::function<bool(std::string_view)>& on_piece) const {
  const auto failure = [&](const error_code& error) {
    if (Interrupted()) return absl::CancelledError("stopped");
    if (error.category() == asio::error::get_ssl_category())
      return absl::UnavailableError(absl::StrCat(
          "no trusted answer from ", url(), " (", error.message(),
          "): name the host as its certificate does, and where its authority is your own, give "
          "that in SSL_CERT_FILE=FILE"));
    return absl::UnavailableError(absl::StrCat("no answer from ", url(), " (", error.message(),
                                               "); start a cluster there with `potluck up`, or say "
                                               "with --url where one runs"));
  };
  Session session;
  if (error_code error = session.Connect(at_, tls_)) return failure(error);

  http::request<http::string_body> request(http::string_to_verb(std::string(method)), path, 11);
  request.set(http::field::host, JoinHostPort(at_.host, at_.port));
  request.set(http::field::connection, "close");
  if (!api_key_.empty()) request.set(http::field::authorization, "Bearer " + api_key_);
  if (!body.empty()) {
    request.set(http::field::content_type, "application/json");
    request.body() = body;
  }
  request.prepare_payload();
  error_code error =
      session.Run([&](auto& stream, auto handler) { http::async_write(stream, request, handler); });
  if (error) return failure(error);

  beast::flat_buffer buffer;
  http::response_parser<http::buffer_body> parser;
  parser.body_limit(boost::none);
  error = session.Run([&](auto& stream, auto handler) {
    http::async_read_header(stream, buffer, parser, handler);
  });
  if (error) return failure(error);
  HttpReply reply{.status = static_cast<int>(parser.get().result_int()),
                  .content_type = std::string(parser.get()[http::field::content_type]),
                  .body = {}};
  const bool hands_on = on_piece && absl::StartsWith(reply.content_type, "text/event-stream");
  std::array<char, 16384> piece;
  while (!parser.is_done()) {
    parser.get().body().data = piece.data();
    parser.get().body().size = piece.size();
    error = session.Run([&](auto& stream, auto handler) {
      http::async_read_some(stream, buffer, parser, handler);
    });
    if (error == http::error::need_buffer) error = {};
    if (error) return failure(error);
    const std::string_view got(piece.data(), piece.size() - parser.get().body().size);
    if (hands_on) {
      if (!on_piece(got)) break;
    } else {
      reply.body.append(got);
      if (reply.body.size() > kLongestReply) {
        return absl::ResourceExhaustedError(absl::StrCat("the answer of ", url(), " has no end"));
      }
    }
  }
  return reply;
}

}  // namespace potluck::cli
