// An asynchronous HTTP/1.1 server (Boost.Beast): no thread per connection, so a thousand idle
// streams cost a thousand sockets and nothing else. It knows requests and responses, not what they
// mean.
//
// One thread of its own moves bytes; handlers run in tasks of the given executor. Source: RFC 9110,
// RFC 9112.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/executor.h"

namespace boost::asio::ssl {
class context;
}

namespace potluck::coordinator {

struct HttpRequest {
  std::string method;                                        // "GET"
  std::string path;                                          // "/v1/completions", still escaped
  std::string query;                                         // behind the '?', still escaped
  std::vector<std::pair<std::string, std::string>> headers;  // as they came
  std::string body;
  std::string peer;       // "127.0.0.1:50312"
  bool loopback = false;  // the peer is on this machine
  bool tls = false;

  // Names compare without case; empty where there is none.
  std::string_view Header(std::string_view name) const;
};

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpReply {
  int status = 200;
  std::string content_type, body;
  HttpHeaders headers;
};

// The answer to one request: whole, or as a stream. Thread-safe; may be kept as long as it is
// useful. An exchange that is dropped without an answer answers 500.
class HttpExchange {
 public:
  virtual ~HttpExchange() = default;
  virtual const HttpRequest& request() const = 0;

  virtual void Respond(int status, std::string_view content_type, std::string body,
                       HttpHeaders headers = {}) = 0;

  // A stream: begun once, written to any number of times, ended. Chunked for HTTP/1.1 clients; for
  // older ones it ends with the connection.
  virtual void BeginStream(int status, std::string_view content_type, HttpHeaders headers = {}) = 0;
  virtual void Write(std::string bytes) = 0;
  virtual void End() = 0;

  // Given to the stream and not yet to the network. A handler that lets this grow pays with memory.
  virtual size_t queued_bytes() const = 0;
  // Called in a task of the executor, once, when the queue is empty; replaces one that still waits.
  virtual void OnDrained(absl::AnyInvocable<void()> drained) = 0;
  // Whether the client went before the answer has ended.
  virtual bool gone() const = 0;
  // Called in a task of the executor, once, if the client goes before the answer has ended.
  virtual void OnGone(absl::AnyInvocable<void()> gone) = 0;
};

struct HttpServerOptions {
  std::vector<std::string> addresses = {"127.0.0.1:7070"};  // "HOST:PORT", "[::1]:0"
  size_t max_header_bytes = 32 << 10;
  size_t max_body_bytes = 32 << 20;
  int max_connections = 2048;
  // For the whole of a request to come in, and for a connection to stay open without one.
  absl::Duration request_timeout = absl::Seconds(60);
  // For a client that reads nothing of its answer.
  absl::Duration stall_timeout = absl::Minutes(10);
  // Gives what clients are shown that speak TLS; others are then heard on loopback only. Null:
  // there is none, and all speak in plain text. Called on the server's own thread for each
  // connection.
  std::function<std::shared_ptr<boost::asio::ssl::context>()> certificate;
  // What every answer to a request says beside its own headers. Called on any thread.
  std::function<HttpHeaders(const HttpRequest&)> common_headers;
};

class HttpServer {
 public:
  // Asked as soon as a request's header is in, on the server's own thread and without the body:
  // what it answers ends the connection, and the body is not read.
  using Gate = std::function<std::optional<HttpReply>(const HttpRequest&)>;
  using Handler = std::function<void(std::shared_ptr<HttpExchange>)>;

  // InvalidArgument for an address that is none, AlreadyExists for a port that is taken (with what
  // to do), PermissionDenied. The executor must outlive the server.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const HttpServerOptions& options,
                                                           Executor& executor, Gate gate,
                                                           Handler handler);
  // Closes everything and waits for the thread. Answers that are whole are sent first, to clients
  // that read them within two seconds.
  virtual ~HttpServer() = default;
  // Where it listens, with the ports that were chosen for port 0.
  virtual const std::vector<std::string>& addresses() const = 0;
};

}  // namespace potluck::coordinator
