#include "coordinator/api/http/http_server.h"

#include <pthread.h>

#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <deque>
#include <optional>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/host_port.h"
#include "common/mutex.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "coordinator/api/http/client_stream.h"

namespace potluck::coordinator {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using beast::error_code;

constexpr std::string_view kPlainText = "text/plain; charset=utf-8";
// After a failed accept (no descriptors left): connections that end give some back.
constexpr std::chrono::milliseconds kAcceptPause(100);
// How long a client may go on sending after its connection's last answer.
constexpr std::chrono::seconds kLinger(2);
// Of further requests, read while one is being answered: behind them the client's end is seen. What
// has sent more than that is found gone when its answer is written.
constexpr size_t kMostAhead = size_t{64} << 10;
constexpr uint64_t kSmallBodyBytes = 64 << 10;  // of requests that have no use for one
constexpr size_t kReadBytes = size_t{16} << 10;
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

std::string AddressOf(const tcp::endpoint& endpoint) {
  return JoinHostPort(endpoint.address().to_string(), endpoint.port());
}

// Also of IPv4 in IPv6, where one socket takes both.
bool IsLoopback(const asio::ip::address& address) {
  if (address.is_v6() && address.to_v6().is_v4_mapped())
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).is_loopback();
  return address.is_loopback();
}

std::string Head(int status, std::string_view content_type, const HttpHeaders& common,
                 const HttpHeaders& headers, std::string_view framing, bool keep_alive) {
  std::string head =
      absl::StrCat("HTTP/1.1 ", status, " ",
                   ToAbsl(std::string(http::obsolete_reason(static_cast<http::status>(status)))),
                   "\r\nContent-Type: ", ToAbsl(content_type), "\r\n", ToAbsl(framing));
  for (const HttpHeaders& all : {common, headers}) {
    for (const auto& [name, value] : all) absl::StrAppend(&head, name, ": ", value, "\r\n");
  }
  absl::StrAppend(&head, keep_alive ? "" : "Connection: close\r\n", "\r\n");
  return head;
}

class Exchange;

// What outlives the server where an answer is still held: the sockets need their io_context.
struct Shared {
  Shared(const HttpServerOptions& o, Executor& e, HttpServer::Gate g, HttpServer::Handler h)
      : options(o), executor(e), gate(std::move(g)), handler(std::move(h)) {}
  asio::io_context io{1};
  const HttpServerOptions options;
  Executor& executor;
  const HttpServer::Gate gate;
  const HttpServer::Handler handler;
  std::atomic<int> connections = 0;

  HttpHeaders CommonHeaders(const HttpRequest& request) const {
    return options.common_headers ? options.common_headers(request) : HttpHeaders();
  }

  // Runs `task` on the io thread; drops it once the server has gone.
  template <typename Task>
  void OnIoThread(Task task) {
    MutexLock lock(mutex);
    if (!closed) asio::post(io, std::move(task));
  }
  Mutex mutex;
  bool closed ABSL_GUARDED_BY(mutex) = false;
};

// One socket: requests come in one after the other, each is answered before the next is looked at.
// Lives on the io thread.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<Shared> shared, tcp::socket socket)
      : shared_(std::move(shared)), stream_(std::move(socket)), deadline_(shared_->io) {
    error_code ignored;
    stream_.socket().set_option(tcp::no_delay(true), ignored);
    const tcp::endpoint peer = stream_.socket().remote_endpoint(ignored);
    peer_ = AddressOf(peer);
    loopback_ = IsLoopback(peer.address());
    ++shared_->connections;
  }
  ~Connection() { --shared_->connections; }

  Shared& shared() { return *shared_; }
  std::shared_ptr<Shared> shared_owner() const { return shared_; }

  void Begin();
  // The last answer of this connection.
  void Refuse(int status, std::string text) {
    Refuse({status, std::string(kPlainText), std::move(text), {}});
  }

  void Enqueue(std::string bytes) {
    queue_.push_back(std::move(bytes));
    if (!writing_) WriteNext();
  }
  // No more of this answer follows.
  void FinishAnswer() {
    answered_ = true;
    if (!writing_) AfterAnswer();
  }
  void Break() {
    error_code ignored;
    stream_.socket().close(ignored);
    deadline_.cancel(ignored);
  }
  // What has been answered still reaches a client that reads; nothing else is waited for.
  void CloseAfterAnswer() {
    if (!answered_ || !writing_) return Break();
    BreakIn(kLinger);
    closing_ = true;
  }
  bool keep_alive() const { return keep_alive_; }

 private:
  // What the client's bytes are for.
  enum class Phase { kRequest, kNextRequest, kNothing };

  void Refuse(const HttpReply& reply);
  void ReadRequest();
  // One read at a time, for whatever the phase is when it is over: one in TLS cannot be taken back.
  void Read();
  void OnRead(error_code error, size_t count);
  void Parse();
  // Whether the body is to be read.
  bool OnHeader();
  void OnRequest();
  std::optional<HttpReply> FramingRefusal();
  // What is asked over plain text of a server that has a certificate.
  std::optional<HttpReply> PlainRefusal() const;
  // Says so where the client may still listen.
  void ParsingFailed(error_code error);
  HttpRequest TakeHeader() const;
  void WriteNext();
  void OnWritten(error_code error);
  void AfterAnswer();
  void EndWriting();
  // A connection that is closed with input unread is reset, and the answer may be lost with it.
  void DiscardInput();
  void ClientIsGone();

  // Breaks the connection then, unless another time is set, or none.
  void BreakIn(std::chrono::milliseconds time) {
    if (closing_) return;
    deadline_.expires_after(time);
    deadline_.async_wait([weak = weak_from_this()](error_code error) {
      const auto self = weak.lock();
      if (error || !self || self->deadline_.expiry() > std::chrono::steady_clock::now()) return;
      self->Break();
    });
  }
  void NoDeadline() {
    if (!closing_) deadline_.expires_at(std::chrono::steady_clock::time_point::max());
  }

  const std::shared_ptr<Shared> shared_;
  ClientStream stream_;
  asio::steady_timer deadline_;            // of what is being waited for
  std::array<char, kReadBytes> incoming_;  // of the read that is under way
  beast::flat_buffer buffer_;              // what has come and is still to be looked at
  std::optional<http::request_parser<http::string_body>> parser_;
  HttpRequest request_;  // that is coming in
  std::string peer_;
  Phase phase_ = Phase::kRequest;
  bool loopback_ = false;
  bool keep_alive_ = false;
  bool reading_ = false;
  bool writing_ = false;
  bool answered_ = false;
  bool continuing_ = false;  // "100 Continue" is the queue's first
  bool closing_ = false;     // the server ends before the answer; the deadline stands
  std::deque<std::string> queue_;
  std::weak_ptr<Exchange> exchange_;  // of the request that is being answered
};

class Exchange final : public HttpExchange, public std::enable_shared_from_this<Exchange> {
 public:
  Exchange(std::shared_ptr<Connection> connection, HttpRequest request, bool is_http_1_1)
      : shared_(connection->shared_owner()),
        connection_(std::move(connection)),
        request_(std::move(request)),
        chunked_(is_http_1_1),
        keep_alive_(connection_->keep_alive()) {}

  ~Exchange() override {
    if (state_ == State::kOpen) {
      Respond(500, kPlainText, "The server gave no answer to this request.\n", {});
    } else if (state_ == State::kStreaming) {
      OnIoThread([](Connection& connection) { connection.Break(); });
    }
    // The connection dies on its own thread.
    shared_->OnIoThread([connection = std::move(connection_)]() {});
  }

  const HttpRequest& request() const override { return request_; }

  void Respond(int status, std::string_view content_type, std::string body,
               HttpHeaders headers) override {
    state_ = State::kDone;
    std::string bytes = Head(status, content_type, shared_->CommonHeaders(request_), headers,
                             absl::StrCat("Content-Length: ", body.size(), "\r\n"), keep_alive_);
    if (request_.method != "HEAD") bytes += body;
    Push(std::move(bytes), true);
  }

  void BeginStream(int status, std::string_view content_type, HttpHeaders headers) override {
    state_ = State::kStreaming;
    Push(Head(status, content_type, shared_->CommonHeaders(request_), headers,
              chunked_ ? "Transfer-Encoding: chunked\r\n" : "", keep_alive_ && chunked_));
  }
  void Write(std::string bytes) override {
    if (bytes.empty()) return;
    if (chunked_) {
      bytes = absl::StrCat(absl::Hex(bytes.size()), "\r\n", bytes, "\r\n");
    }
    Push(std::move(bytes));
  }
  void End() override {
    state_ = State::kDone;
    Push(chunked_ ? "0\r\n\r\n" : "", true);
  }

  size_t queued_bytes() const override { return queued_bytes_; }
  void OnDrained(absl::AnyInvocable<void()> drained) override {
    {
      MutexLock lock(mutex_);
      drained_ = std::move(drained);
    }
    Drained();
  }
  bool gone() const override {
    MutexLock lock(mutex_);
    return is_gone_;
  }
  void OnGone(absl::AnyInvocable<void()> gone) override {
    {
      MutexLock lock(mutex_);
      if (!is_gone_) {
        gone_ = std::move(gone);
        return;
      }
    }
    shared_->executor.Post(std::move(gone));
  }

  // From the io thread: so many of the answer's bytes are on their way.
  void Written(size_t bytes) {
    queued_bytes_ -= bytes;
    Drained();
  }
  void ClientIsGone() {
    absl::AnyInvocable<void()> gone;
    {
      MutexLock lock(mutex_);
      is_gone_ = true;
      std::swap(gone, gone_);
      drained_ = nullptr;
    }
    if (gone) shared_->executor.Post(std::move(gone));
  }

 private:
  enum class State { kOpen, kStreaming, kDone };

  void Push(std::string bytes, bool last = false) {
    queued_bytes_ += bytes.size();
    OnIoThread([bytes = std::move(bytes), last](Connection& connection) mutable {
      if (!bytes.empty()) connection.Enqueue(std::move(bytes));
      if (last) connection.FinishAnswer();
    });
  }
  // Tells who waits for it, if the queue is empty.
  void Drained() {
    absl::AnyInvocable<void()> drained;
    {
      MutexLock lock(mutex_);
      if (queued_bytes_ == 0) std::swap(drained, drained_);
    }
    if (drained) shared_->executor.Post(std::move(drained));
  }
  template <typename F>
  void OnIoThread(F f) {
    shared_->OnIoThread([connection = connection_, f = std::move(f)]() mutable { f(*connection); });
  }

  const std::shared_ptr<Shared> shared_;
  std::shared_ptr<Connection> connection_;
  const HttpRequest request_;
  const bool chunked_;
  const bool keep_alive_;
  std::atomic<State> state_ = State::kOpen;
  std::atomic<size_t> queued_bytes_ = 0;
  mutable Mutex mutex_;
  bool is_gone_ ABSL_GUARDED_BY(mutex_) = false;
  absl::AnyInvocable<void()> gone_ ABSL_GUARDED_BY(mutex_);
  absl::AnyInvocable<void()> drained_ ABSL_GUARDED_BY(mutex_);
};

void Connection::Begin() {
  BreakIn(absl::ToChronoMilliseconds(shared_->options.request_timeout));
  if (!shared_->options.certificate) return ReadRequest();
  stream_.AsyncBegin(shared_->options.certificate(),
                     [self = shared_from_this()](error_code error, auto&&...) {
                       if (error) return self->Break();
                       self->ReadRequest();
                     });
}

void Connection::ReadRequest() {
  phase_ = Phase::kRequest;
  answered_ = false;
  request_ = {};
  parser_.emplace();
  parser_->header_limit(static_cast<uint32_t>(shared_->options.max_header_bytes));
  parser_->body_limit(shared_->options.max_body_bytes);
  BreakIn(absl::ToChronoMilliseconds(shared_->options.request_timeout));
  Parse();
}

void Connection::Read() {
  if (std::exchange(reading_, true)) return;
  stream_.async_read_some(asio::buffer(incoming_),
                          [self = shared_from_this()](error_code error, size_t count) {
                            self->reading_ = false;
                            self->OnRead(error, count);
                          });
}

void Connection::OnRead(error_code error, size_t count) {
  if (phase_ == Phase::kNothing) return;
  buffer_.commit(asio::buffer_copy(buffer_.prepare(count), asio::buffer(incoming_)));
  switch (phase_) {
    case Phase::kRequest:
      return error ? Break() : Parse();
    case Phase::kNextRequest:  // or an end of line too many: it waits for its turn
      if (error) return ClientIsGone();
      if (buffer_.size() < kMostAhead) Read();
      return;
    case Phase::kNothing:
      return;
  }
}

void Connection::Parse() {
  while (!parser_->is_done()) {
    if (buffer_.size() == 0) return Read();
    const bool had_header = parser_->is_header_done();
    parser_->eager(had_header);
    error_code error;
    buffer_.consume(parser_->put(buffer_.cdata(), error));
    if (error == http::error::need_more) {
      // Extensions of chunks and trailers, which the parser has no limit for.
      if (buffer_.size() > shared_->options.max_header_bytes + kReadBytes)
        return ParsingFailed(http::error::header_limit);
      return Read();
    }
    if (error) return ParsingFailed(error);
    if (!had_header && parser_->is_header_done() && !OnHeader()) return;
  }
  OnRequest();
}

void Connection::ParsingFailed(error_code error) {
  if (error == http::error::header_limit) {
    Refuse(431, absl::StrCat("The header is too long: at most ", shared_->options.max_header_bytes,
                             " bytes.\n"));
  } else if (error == http::error::body_limit) {
    Refuse(413, absl::StrCat("The body is too long: at most ", shared_->options.max_body_bytes,
                             " bytes.\n"));
  } else {
    Refuse(400, absl::StrCat("This is no HTTP/1.1 request: ", error.message(), ".\n"));
  }
}

void Connection::Refuse(const HttpReply& reply) {
  keep_alive_ = false;
  phase_ = Phase::kNothing;
  exchange_.reset();
  const std::string length = absl::StrCat("Content-Length: ", reply.body.size(), "\r\n");
  std::string bytes = Head(reply.status, reply.content_type, shared_->CommonHeaders(request_),
                           reply.headers, length, false);
  if (request_.method != "HEAD") bytes += reply.body;
  Enqueue(std::move(bytes));
  FinishAnswer();
}

bool Connection::OnHeader() {
  request_ = TakeHeader();
  std::optional<HttpReply> refusal = FramingRefusal();
  if (!refusal) refusal = PlainRefusal();
  if (!refusal) refusal = shared_->gate(request_);
  if (refusal) {
    Refuse(*refusal);
    return false;
  }
  // Who has begun to send the body does not wait.
  if (buffer_.size() == 0 && beast::iequals(parser_->get()[http::field::expect], "100-continue")) {
    continuing_ = true;
    Enqueue(std::string(kContinue));
  }
  return true;
}

// What would be read as something else by whoever stands between: RFC 9112, 3.2 and 6.1. And a body
// where none belongs has little room.
std::optional<HttpReply> Connection::FramingRefusal() {
  const auto& message = parser_->get();
  const auto refuse = [](int status, const char* text) {
    return HttpReply{status, std::string(kPlainText), text, {}};
  };
  if (message.count(http::field::transfer_encoding) > 0 && !message.chunked())
    return refuse(501, "Of transfer encodings only chunked is known.\n");
  constexpr std::string_view kHostCharacters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]%";
  if (message.count(http::field::host) > 1 ||
      request_.Header("host").find_first_not_of(kHostCharacters) != std::string_view::npos)
    return refuse(400, "A request names one host.\n");
  if (request_.method == "POST") return std::nullopt;
  parser_->body_limit(kSmallBodyBytes);
  if (parser_->content_length().value_or(0) > kSmallBodyBytes)
    return refuse(413, "Only POST takes a body.\n");
  return std::nullopt;
}

// Programs on this machine need no certificate's name for it. Browsers are sent on.
std::optional<HttpReply> Connection::PlainRefusal() const {
  if (!shared_->options.certificate || stream_.is_tls() || loopback_) return std::nullopt;
  const std::string_view host = request_.Header("host");
  if ((request_.method == "GET" || request_.method == "HEAD") && !host.empty()) {
    const std::string query = request_.query.empty() ? "" : "?" + request_.query;
    return HttpReply{308,
                     std::string(kPlainText),
                     "This address speaks HTTPS.\n",
                     {{"Location", absl::StrCat("https://", ToAbsl(host), request_.path, query)}}};
  }
  return HttpReply{
      400, std::string(kPlainText), "This address speaks HTTPS: write https://.\n", {}};
}

HttpRequest Connection::TakeHeader() const {
  const auto& message = parser_->get();
  HttpRequest request;
  request.method = std::string(message.method_string());
  const std::string target(message.target());
  const size_t mark = target.find('?');
  request.path = target.substr(0, mark);
  if (mark != std::string::npos) request.query = target.substr(mark + 1);
  for (const auto& field : message) {
    request.headers.emplace_back(std::string(field.name_string()), std::string(field.value()));
  }
  request.peer = peer_;
  request.loopback = loopback_;
  request.tls = stream_.is_tls();
  return request;
}

void Connection::OnRequest() {
  NoDeadline();
  const bool is_http_1_1 = parser_->get().version() >= 11;
  keep_alive_ = is_http_1_1 && parser_->get().keep_alive();
  request_.body = std::move(parser_->get().body());
  auto exchange = std::make_shared<Exchange>(shared_from_this(), std::move(request_), is_http_1_1);
  exchange_ = exchange;
  phase_ = Phase::kNextRequest;
  if (buffer_.size() < kMostAhead) Read();
  shared_->executor.Post([shared = shared_, exchange = std::move(exchange)]() mutable {
    {
      MutexLock lock(shared->mutex);
      if (shared->closed) return;  // what the handler leads to may be gone
    }
    shared->handler(std::move(exchange));
  });
}

void Connection::ClientIsGone() {
  if (auto exchange = exchange_.lock()) exchange->ClientIsGone();
  Break();
}

void Connection::WriteNext() {
  writing_ = true;
  if (phase_ != Phase::kRequest)
    BreakIn(absl::ToChronoMilliseconds(shared_->options.stall_timeout));
  asio::async_write(
      stream_, asio::buffer(queue_.front()),
      [self = shared_from_this()](error_code error, size_t) { self->OnWritten(error); });
}

void Connection::OnWritten(error_code error) {
  writing_ = false;
  if (phase_ != Phase::kRequest) NoDeadline();
  const size_t written = queue_.front().size();
  queue_.pop_front();
  if (error) {
    queue_.clear();
    return ClientIsGone();
  }
  const bool is_of_answer = !std::exchange(continuing_, false);
  if (auto exchange = exchange_.lock(); exchange && is_of_answer) exchange->Written(written);
  if (!queue_.empty()) return WriteNext();
  if (answered_) AfterAnswer();
}

void Connection::AfterAnswer() {
  exchange_.reset();
  if (closing_) return Break();
  if (keep_alive_ && stream_.socket().is_open()) return ReadRequest();
  phase_ = Phase::kNothing;
  BreakIn(kLinger);
  if (!stream_.is_tls()) return EndWriting();
  stream_.AsyncGoodbye([self = shared_from_this()](error_code) { self->EndWriting(); });
}

void Connection::EndWriting() {
  error_code ignored;
  stream_.socket().cancel(ignored);
  stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
  DiscardInput();
}

void Connection::DiscardInput() {
  stream_.socket().async_read_some(asio::buffer(incoming_),
                                   [self = shared_from_this()](error_code error, size_t) {
                                     if (error) return self->Break();
                                     self->DiscardInput();
                                   });
}

class BeastServer final : public HttpServer {
 public:
  BeastServer(const HttpServerOptions& options, Executor& executor, Gate gate, Handler handler)
      : shared_(std::make_shared<Shared>(options, executor, std::move(gate), std::move(handler))) {}

  ~BeastServer() override {
    // With every socket closed, the last after kLinger, the io thread has nothing left to do and
    // ends.
    asio::post(shared_->io, [this]() {
      error_code ignored;
      for (auto& acceptor : acceptors_) acceptor->close(ignored);
      for (const auto& weak : connections_) {
        if (auto connection = weak.lock()) connection->CloseAfterAnswer();
      }
    });
    if (thread_.joinable()) thread_.join();
    {
      MutexLock lock(shared_->mutex);
      shared_->closed = true;
    }
    shared_->io.restart();
    shared_->io.poll();
  }

  // `alone`: an address of any kind is then one of both kinds.
  absl::Status Listen(const std::string& address, bool alone) {
    POTLUCK_ASSIGN_OR_RETURN(const HostPort at, ParseHostPort(address));
    error_code error;
    tcp::resolver resolver(shared_->io);
    const auto found =
        resolver.resolve(at.host, std::to_string(at.port), tcp::resolver::passive, error);
    if (error || found.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("cannot listen on ", address, ": ", error.message()));
    }
    const tcp::endpoint endpoint = found.begin()->endpoint();
    auto acceptor = std::make_unique<tcp::acceptor>(shared_->io);
    acceptor->open(endpoint.protocol(), error);
    if (!error) acceptor->set_option(tcp::acceptor::reuse_address(true), error);
    if (!error && endpoint.address().is_v6()) {
      const bool both = alone && endpoint.address().is_unspecified();
      acceptor->set_option(asio::ip::v6_only(!both), error);
    }
    if (!error) acceptor->bind(endpoint, error);
    if (!error) acceptor->listen(tcp::acceptor::max_listen_connections, error);
    if (error == asio::error::address_in_use) {
      return absl::AlreadyExistsError(
          absl::StrCat(address, " is taken by another program; choose another with --http"));
    }
    if (error == asio::error::access_denied) {
      return absl::PermissionDeniedError(
          absl::StrCat("may not listen on ", address, "; ports below 1024 need more rights"));
    }
    if (error) {
      return absl::UnavailableError(
          absl::StrCat("cannot listen on ", address, ": ", error.message()));
    }
    addresses_.push_back(AddressOf(acceptor->local_endpoint(error)));
    acceptors_.push_back(std::move(acceptor));
    return absl::OkStatus();
  }

  void Run() {
    for (auto& acceptor : acceptors_) Accept(*acceptor);
    thread_ = std::thread([shared = shared_]() { shared->io.run(); });
    pthread_setname_np(thread_.native_handle(), "http");
  }

  const std::vector<std::string>& addresses() const override { return addresses_; }

 private:
  void Accept(tcp::acceptor& acceptor) {
    acceptor.async_accept([this, &acceptor](error_code error, tcp::socket socket) {
      if (!acceptor.is_open()) return;
      if (error) return AcceptLater(acceptor);
      auto connection = std::make_shared<Connection>(shared_, std::move(socket));
      std::erase_if(connections_, [](const auto& weak) { return weak.expired(); });
      connections_.push_back(connection);
      if (shared_->connections > shared_->options.max_connections) {
        connection->Refuse(503, "There are too many connections. Try again later.\n");
      } else {
        connection->Begin();
      }
      Accept(acceptor);
    });
  }
  void AcceptLater(tcp::acceptor& acceptor) {
    auto timer = std::make_shared<asio::steady_timer>(shared_->io, kAcceptPause);
    timer->async_wait([this, &acceptor, timer](error_code) {
      if (acceptor.is_open()) Accept(acceptor);
    });
  }

  const std::shared_ptr<Shared> shared_;
  std::vector<std::unique_ptr<tcp::acceptor>> acceptors_;
  std::vector<std::string> addresses_;
  std::vector<std::weak_ptr<Connection>> connections_;  // the io thread's
  std::thread thread_;
};

}  // namespace

std::string_view HttpRequest::Header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (absl::EqualsIgnoreCase(key, ToAbsl(name))) return value;
  }
  return {};
}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const HttpServerOptions& options,
                                                              Executor& executor, Gate gate,
                                                              Handler handler) {
  auto server =
      std::make_unique<BeastServer>(options, executor, std::move(gate), std::move(handler));
  for (const std::string& address : options.addresses) {
    POTLUCK_RETURN_IF_ERROR(server->Listen(address, options.addresses.size() == 1));
  }
  server->Run();
  return server;
}

}  // namespace potluck::coordinator
