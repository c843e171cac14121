#include "cli/http_client.h"

#include <array>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <chrono>

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

constexpr std::string_view kDefaultPort = "7070";
constexpr std::chrono::seconds kConnectTimeout(5);
constexpr size_t kLongestReply = size_t{64} << 20;

// One connection and the person's Ctrl-C: an operation runs until it is done or interrupted.
class Session {
 public:
  Session() : stream_(io_), interrupt_(io_) {
    // A copy, because the descriptor closes what it holds.
    if (InterruptDescriptor() >= 0) interrupt_.assign(dup(InterruptDescriptor()));
  }

  // `start` begins an operation with the handler that it is given.
  template <typename Start>
  error_code Run(Start start) {
    if (Interrupted()) return asio::error::operation_aborted;
    error_code result;
    start([&](error_code error, auto&&...) {
      result = error;
      interrupt_.cancel();
    });
    if (interrupt_.is_open()) {
      interrupt_.async_wait(asio::posix::stream_descriptor::wait_read, [&](error_code error) {
        if (!error) stream_.cancel();
      });
    }
    io_.restart();
    io_.run();
    return result;
  }

  error_code Connect(const std::string& host, const std::string& port) {
    error_code error;
    asio::ip::tcp::resolver resolver(io_);
    const auto endpoints = resolver.resolve(host, port, error);
    if (error) return error;
    stream_.expires_after(kConnectTimeout);
    error = Run([&](auto handler) { stream_.async_connect(endpoints, handler); });
    stream_.expires_never();
    return error;
  }

  beast::tcp_stream& stream() { return stream_; }

 private:
  asio::io_context io_{1};
  beast::tcp_stream stream_;
  asio::posix::stream_descriptor interrupt_;
};

}  // namespace

absl::StatusOr<HttpClient> HttpClient::Create(std::string_view url, std::string api_key) {
  absl::string_view rest = ToAbsl(url);
  if (!absl::ConsumePrefix(&rest, "http://")) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", Printable(url), "\" is no address of a cluster; write http://HOST:7070"));
  }
  absl::ConsumeSuffix(&rest, "/");
  const std::string authority(rest);
  const bool has_port = !authority.ends_with(']') && absl::StrContains(authority, ":");
  POTLUCK_ASSIGN_OR_RETURN(
      const HostPort at,
      ParseHostPort(has_port ? authority : absl::StrCat(authority, ":", ToAbsl(kDefaultPort))));
  return HttpClient(at.host, std::to_string(at.port), std::move(api_key));
}

std::string HttpClient::url() const {
  return absl::StrCat("http://", JoinHostPort(host_, static_cast<uint16_t>(std::stoi(port_))));
}

absl::StatusOr<HttpReply> HttpClient::Call(
    std::string_view method, const std::string& path, const std::string& body,
    const std::function<bool(std::string_view)>& on_piece) const {
  const auto failure = [&](const error_code& error) {
    if (Interrupted()) return absl::CancelledError("stopped");
    return absl::UnavailableError(absl::StrCat("no answer from ", url(), " (", error.message(),
                                               "); start a cluster there with `potluck up`, or say "
                                               "with --url where one runs"));
  };
  Session session;
  if (error_code error = session.Connect(host_, port_)) return failure(error);

  http::request<http::string_body> request(http::string_to_verb(std::string(method)), path, 11);
  request.set(http::field::host, JoinHostPort(host_, static_cast<uint16_t>(std::stoi(port_))));
  request.set(http::field::connection, "close");
  if (!api_key_.empty()) request.set(http::field::authorization, "Bearer " + api_key_);
  if (!body.empty()) {
    request.set(http::field::content_type, "application/json");
    request.body() = body;
  }
  request.prepare_payload();
  error_code error =
      session.Run([&](auto handler) { http::async_write(session.stream(), request, handler); });
  if (error) return failure(error);

  beast::flat_buffer buffer;
  http::response_parser<http::buffer_body> parser;
  parser.body_limit(boost::none);
  error = session.Run(
      [&](auto handler) { http::async_read_header(session.stream(), buffer, parser, handler); });
  if (error) return failure(error);
  HttpReply reply{.status = static_cast<int>(parser.get().result_int()),
                  .content_type = std::string(parser.get()[http::field::content_type]),
                  .body = {}};
  const bool hands_on = on_piece && absl::StartsWith(reply.content_type, "text/event-stream");
  std::array<char, 16384> piece;
  while (!parser.is_done()) {
    parser.get().body().data = piece.data();
    parser.get().body().size = piece.size();
    error = session.Run(
        [&](auto handler) { http::async_read_some(session.stream(), buffer, parser, handler); });
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
