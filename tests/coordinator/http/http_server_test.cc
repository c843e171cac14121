#include "coordinator/api/http/http_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/host_port.h"
#include "common/thread_executor.h"
#include "wire/trust/cluster_authority.h"

namespace potluck::coordinator {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

// A client that says exactly what a test wants it to say.
class RawClient {
 public:
  explicit RawClient(const std::string& address) : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    const HostPort at = *ParseHostPort(address);
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_port = htons(at.port);
    inet_pton(AF_INET, at.host.c_str(), &to.sin_addr);
    connected_ = connect(socket_, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0;
  }
  ~RawClient() { Close(); }
  void Close() {
    if (socket_ >= 0) close(socket_);
    socket_ = -1;
  }
  bool connected() const { return connected_; }
  void Send(std::string_view text) const {
    while (!text.empty()) {
      const ssize_t sent = send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      text.remove_prefix(static_cast<size_t>(sent));
    }
  }
  // Everything that comes until the text is in it or the connection ends.
  std::string ReadUntil(std::string_view end) {
    std::string got;
    char bytes[4096];
    size_t fresh = 0;
    while (got.find(end, got.size() - std::min(got.size(), fresh + end.size())) == got.npos) {
      const ssize_t count = recv(socket_, bytes, sizeof(bytes), 0);
      if (count <= 0) break;
      fresh = static_cast<size_t>(count);
      got.append(bytes, fresh);
    }
    return got;
  }
  std::string ReadAll() { return ReadUntil(std::string(1, '\0') + "never"); }

 private:
  int socket_;
  bool connected_ = false;
};

class HttpServerTest : public testing::Test {
 protected:
  void Start(HttpServer::Handler handler, HttpServerOptions options = {}) {
    options.addresses = {"127.0.0.1:0"};
    auto server = HttpServer::Start(options, executor_, gate_, std::move(handler));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    address_ = server_->addresses().front();
  }
  static void Echo(const std::shared_ptr<HttpExchange>& exchange) {
    const HttpRequest& request = exchange->request();
    exchange->Respond(200, "text/plain",
                      absl::StrCat(request.method, " ", request.path, " ", request.query, " ",
                                   std::string(request.Header("x-test")), " ", request.body),
                      {{"X-Answer", "yes"}});
  }

  HttpServer::Gate gate_ = [](const HttpRequest&) { return std::nullopt; };
  ThreadExecutor executor_;
  std::unique_ptr<HttpServer> server_;
  std::string address_;
};

TEST_F(HttpServerTest, AnswersSeveralRequestsOnOneConnection) {
  Start(Echo);
  RawClient client(address_);
  client.Send("POST /a/b?c=d HTTP/1.1\r\nHost: x\r\nX-TEST: t\r\nContent-Length: 2\r\n\r\nhi");
  EXPECT_THAT(client.ReadUntil(" hi"),
              testing::AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("\r\nX-Answer: yes\r\n"),
                             EndsWith("POST /a/b c=d t hi")));
  // Two at once: the second waits for its turn.
  client.Send(
      "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\nConnection: close"
      "\r\n\r\n");
  const std::string both = client.ReadAll();
  EXPECT_LT(both.find("GET /1"), both.find("GET /2"));
  EXPECT_THAT(both, HasSubstr("Connection: close"));
}

TEST_F(HttpServerTest, HeadHasNoBody) {
  Start(Echo);
  RawClient client(address_);
  client.Send("HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(client.ReadAll(), EndsWith("\r\n\r\n"));
}

TEST_F(HttpServerTest, StreamsInChunks) {
  Start([](const std::shared_ptr<HttpExchange>& exchange) {
    exchange->BeginStream(200, "text/event-stream");
    exchange->Write("data: 1\n\n");
    exchange->Write("");
    exchange->Write("data: two\n\n");
    exchange->End();
  });
  RawClient client(address_);
  client.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(
      client.ReadUntil("0\r\n\r\n"),
      testing::AllOf(HasSubstr("Transfer-Encoding: chunked"),
                     EndsWith("\r\n\r\n9\r\ndata: 1\n\n\r\nb\r\ndata: two\n\n\r\n0\r\n\r\n")));
  // An older client cannot read chunks.
  RawClient old(address_);
  old.Send("GET / HTTP/1.0\r\n\r\n");
  EXPECT_THAT(old.ReadAll(), EndsWith("\r\n\r\ndata: 1\n\ndata: two\n\n"));
}

TEST_F(HttpServerTest, TellsThatAClientHasGone) {
  std::mutex mutex;
  std::condition_variable changed;
  int gone = 0;
  std::shared_ptr<HttpExchange> kept;
  Start([&](std::shared_ptr<HttpExchange> exchange) {
    exchange->BeginStream(200, "text/event-stream");
    exchange->Write(": begun\n\n");
    exchange->OnGone([&] {
      std::lock_guard lock(mutex);
      ++gone;
      changed.notify_all();
    });
    kept = std::move(exchange);
  });
  int left = 0;
  for (const char* more : {"", "\r\n", "GET /next HTTP/1.1\r\nHost: x\r\n\r\n"}) {
    RawClient client(address_);
    client.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    client.ReadUntil("begun");
    client.Send(more);
    client.Close();
    ++left;
    std::unique_lock lock(mutex);
    ASSERT_TRUE(changed.wait_for(lock, std::chrono::seconds(20), [&] { return gone == left; }))
        << "after " << more;
    lock.unlock();
    EXPECT_TRUE(kept->gone());
    kept->Write("to nobody");
    kept->End();
  }
}

TEST_F(HttpServerTest, ARequestThatComesEarlyIsReadInItsTurn) {
  std::mutex mutex;
  std::condition_variable changed;
  std::shared_ptr<HttpExchange> first;
  Start([&](std::shared_ptr<HttpExchange> exchange) {
    if (exchange->request().path != "/first") return Echo(exchange);
    exchange->BeginStream(200, "text/plain");
    exchange->Write("begun");
    std::lock_guard lock(mutex);
    first = std::move(exchange);
    changed.notify_all();
  });
  RawClient client(address_);
  client.Send("GET /first HTTP/1.1\r\nHost: x\r\n\r\n");
  client.ReadUntil("begun");
  // More than is read ahead, and less than the sockets' buffers hold.
  const std::string body(100000, 'x');
  client.Send("POST /second HTTP/1.1\r\nHost: x\r\nContent-Length: 100001\r\n\r\n" + body + "y");
  std::unique_lock lock(mutex);
  ASSERT_TRUE(changed.wait_for(lock, std::chrono::seconds(20), [&] { return first != nullptr; }));
  first->End();
  first.reset();
  EXPECT_THAT(client.ReadUntil("xy"), HasSubstr("POST /second   " + body + "y"));
}

TEST_F(HttpServerTest, WhoAsksToGoOnAndDoesNotWaitIsAnsweredToTheEnd) {
  std::atomic<size_t> queued = 1;
  Start([&](const std::shared_ptr<HttpExchange>& exchange) {
    exchange->BeginStream(200, "text/plain");
    exchange->Write(exchange->request().body);
    exchange->OnDrained([&queued, exchange] {
      queued = exchange->queued_bytes();
      exchange->End();
    });
  });
  for (const bool at_once : {true, false}) {
    queued = 1;
    RawClient client(address_);
    client.Send(
        absl::StrCat("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: "
                     "100-continue\r\nConnection: close\r\n\r\n",
                     at_once ? "abc" : ""));
    if (!at_once) {
      client.ReadUntil("100 Continue");
      client.Send("abc");
    }
    EXPECT_THAT(client.ReadAll(), HasSubstr("abc"));
    EXPECT_EQ(queued, 0U);
  }
}

TEST_F(HttpServerTest, RefusesWhatOthersWouldReadAsSomethingElse) {
  Start(Echo);
  for (const auto& [header, status] :
       {std::pair("Transfer-Encoding: gzip\r\n", "501"),
        {"Transfer-Encoding: chunked, gzip\r\n", "501"},
        {"Host: y\r\n", "400"},
        {"Content-Length: 3\r\nTransfer-Encoding: identity\r\n", "400"}}) {
    RawClient client(address_);
    client.Send(absl::StrCat("POST / HTTP/1.1\r\nHost: x\r\n", header, "\r\n",
                             "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"));
    const std::string said = client.ReadAll();
    EXPECT_THAT(said, StartsWith(absl::StrCat("HTTP/1.1 ", status))) << header;
    EXPECT_THAT(said, testing::Not(HasSubstr("smuggled"))) << header;
  }
  RawClient odd(address_);
  odd.Send("GET / HTTP/1.1\r\nHost: evil\"><script>\r\n\r\n");
  EXPECT_THAT(odd.ReadAll(), StartsWith("HTTP/1.1 400"));
  RawClient large(address_);
  large.Send("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
  EXPECT_THAT(large.ReadAll(), StartsWith("HTTP/1.1 413"));
}

TEST_F(HttpServerTest, AChunkWhoseExtensionHasNoEndIsRefused) {
  Start(Echo, {.max_header_bytes = 1024});
  RawClient client(address_);
  client.Send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;");
  for (int i = 0; i < 20; ++i) client.Send(std::string(4096, 'x'));
  EXPECT_THAT(client.ReadUntil("bytes."), StartsWith("HTTP/1.1 431"));
}

TEST_F(HttpServerTest, AReaderThatStopsIsSeenInTheQueue) {
  std::mutex mutex;
  std::condition_variable changed;
  int drained = 0;
  std::shared_ptr<HttpExchange> kept;
  const auto wait_for = [&](auto condition) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(20), condition);
  };
  Start([&](std::shared_ptr<HttpExchange> exchange) {
    exchange->BeginStream(200, "text/plain");
    // More than the sockets' buffers hold.
    exchange->Write(std::string(size_t{64} << 20, 'x'));
    exchange->OnDrained([&] {
      std::lock_guard lock(mutex);
      ++drained;
      changed.notify_all();
    });
    std::lock_guard lock(mutex);
    kept = std::move(exchange);
    changed.notify_all();
  });
  RawClient client(address_);
  client.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(wait_for([&] { return kept != nullptr; }));
  EXPECT_GT(kept->queued_bytes(), size_t{32} << 20);
  client.ReadUntil("xxx\r\n");
  ASSERT_TRUE(wait_for([&] { return drained == 1; }));
  EXPECT_EQ(kept->queued_bytes(), 0);
  // Each is told once, and at once where nothing is queued.
  kept->Write("more");
  client.ReadUntil("more");
  int drained_again = 0;
  kept->OnDrained([&] {
    std::lock_guard lock(mutex);
    ++drained_again;
    changed.notify_all();
  });
  EXPECT_TRUE(wait_for([&] { return drained_again == 1; }));
  EXPECT_EQ(drained, 1);
  kept->End();
}

TEST_F(HttpServerTest, AnExchangeThatIsDroppedAnswers500) {
  Start([](const std::shared_ptr<HttpExchange>&) {});
  RawClient client(address_);
  client.Send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(client.ReadAll(), StartsWith("HTTP/1.1 500 "));
}

TEST_F(HttpServerTest, SaysContinueWhereItIsAwaited) {
  Start(Echo);
  RawClient client(address_);
  client.Send("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(client.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("hi");
  EXPECT_THAT(client.ReadUntil(" hi"), StartsWith("HTTP/1.1 200 OK"));
}

TEST_F(HttpServerTest, WhoMayNotAskIsToldSoBeforeTheBody) {
  gate_ = [](const HttpRequest& request) -> std::optional<HttpReply> {
    if (request.Header("Key") == "good") return std::nullopt;
    return HttpReply{401, "text/plain", absl::StrCat("not ", request.path), {{"X-Why", "key"}}};
  };
  Start(Echo);
  // The body never comes, whether the client sends it unasked or waits to be told to go on.
  for (const char* expect : {"", "Expect: 100-continue\r\n"}) {
    RawClient client(address_);
    client.Send(absl::StrCat("POST /door HTTP/1.1\r\nHost: x\r\nKey: bad\r\n", expect,
                             "Content-Length: 1000000\r\n\r\n"));
    EXPECT_THAT(client.ReadAll(),
                testing::AllOf(StartsWith("HTTP/1.1 401 "), HasSubstr("\r\nX-Why: key\r\n"),
                               HasSubstr("\r\nConnection: close\r\n"), EndsWith("not /door")));
  }
  RawClient client(address_);
  client.Send("POST /door HTTP/1.1\r\nHost: x\r\nKey: good\r\nContent-Length: 2\r\n\r\nhi");
  EXPECT_THAT(client.ReadUntil(" hi"), StartsWith("HTTP/1.1 200 OK"));
}

TEST_F(HttpServerTest, RefusesWhatIsNoRequestOrTooLong) {
  Start(Echo, {.max_header_bytes = 1024, .max_body_bytes = 1000});
  for (const auto& [bytes, status] : std::vector<std::pair<std::string, std::string>>{
           {"nonsense\r\n\r\n", "400"},
           {std::string("\x16\x03\x01\x02\x00\x01\x00\x01", 8) + "\r\n\r\n", "400"},
           {"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "400"},
           {"GET / HTTP/1.1\r\nX: " + std::string(5000, 'x') + "\r\n\r\n", "431"},
           {"POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n" + std::string(1001, 'x'), "413"},
           {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n" +
                std::string(2000, 'x'),
            "413"},
       }) {
    RawClient client(address_);
    client.Send(bytes);
    EXPECT_THAT(client.ReadAll(), StartsWith("HTTP/1.1 " + status)) << bytes.substr(0, 40);
  }
}

TEST_F(HttpServerTest, ASlowRequestIsGivenUp) {
  Start(Echo, {.request_timeout = absl::Milliseconds(50)});
  RawClient client(address_);
  client.Send("GET / HTTP/1.1\r\nHost");
  EXPECT_EQ(client.ReadAll(), "");
}

TEST_F(HttpServerTest, TurnsAwayMoreConnectionsThanItHolds) {
  Start(Echo, {.max_connections = 2});
  RawClient first(address_), second(address_);
  for (RawClient* client : {&first, &second}) {
    client->Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    client->ReadUntil("GET /  ");
  }
  RawClient third(address_);
  EXPECT_THAT(third.ReadAll(), StartsWith("HTTP/1.1 503 "));
}

TEST_F(HttpServerTest, EndsWithConnectionsOpen) {
  std::shared_ptr<HttpExchange> kept;
  std::mutex mutex;
  Start([&](std::shared_ptr<HttpExchange> exchange) {
    std::lock_guard lock(mutex);
    kept = std::move(exchange);
    kept->BeginStream(200, "text/plain");
    kept->Write("begun");
  });
  RawClient idle(address_), streaming(address_);
  streaming.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  streaming.ReadUntil("begun");
  server_.reset();
  EXPECT_EQ(idle.ReadAll(), "");
  std::lock_guard lock(mutex);
  kept->Write("to nobody");
  kept.reset();
}

TEST_F(HttpServerTest, WhatWasAnsweredArrivesThoughTheServerEnds) {
  // More than the sockets' buffers hold.
  const std::string body(size_t{16} << 20, 'x');
  std::mutex mutex;
  std::condition_variable changed;
  int answered = 0;
  Start([&](const std::shared_ptr<HttpExchange>& exchange) {
    exchange->Respond(200, "text/plain", body);
    std::lock_guard lock(mutex);
    ++answered;
    changed.notify_all();
  });
  RawClient reader(address_), deaf(address_);
  reader.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  deaf.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  {
    std::unique_lock lock(mutex);
    ASSERT_TRUE(changed.wait_for(lock, std::chrono::seconds(20), [&] { return answered == 2; }));
  }
  std::string got;
  std::thread reading([&] { got = reader.ReadAll(); });
  server_.reset();  // the one who does not read is not waited for for ever
  reading.join();
  EXPECT_THAT(got, StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(got.size() - got.find("\r\n\r\n"), body.size() + 4);
}

// [::] alone takes IPv4, too; beside an IPv4 address it leaves that to it.
TEST_F(HttpServerTest, AllOfIPv6IsAllOfIPv4UnlessThatIsNamed) {
  const int v6 = socket(AF_INET6, SOCK_STREAM, 0);
  sockaddr_in6 loopback = {};
  loopback.sin6_family = AF_INET6;
  loopback.sin6_addr = in6addr_loopback;
  const bool has_v6 = bind(v6, reinterpret_cast<sockaddr*>(&loopback), sizeof(loopback)) == 0;
  close(v6);
  if (!has_v6) GTEST_SKIP() << "no IPv6 here";
  const auto answers = [&](std::vector<std::string> addresses) {
    auto server = HttpServer::Start({.addresses = std::move(addresses)}, executor_, gate_, Echo);
    EXPECT_TRUE(server.ok()) << server.status();
    if (!server.ok()) return false;
    const HostPort at = *ParseHostPort((*server)->addresses().front());
    RawClient client(JoinHostPort("127.0.0.1", at.port));
    client.Send("GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    return client.ReadAll().starts_with("HTTP/1.1 200 ");
  };
  EXPECT_TRUE(answers({"[::]:0"}));
  EXPECT_FALSE(answers({"[::]:0", "127.0.0.1:0"}));
}

TEST_F(HttpServerTest, SaysWhyItCannotListen) {
  Start(Echo);
  const auto taken = HttpServer::Start({.addresses = {address_}}, executor_, gate_, Echo);
  EXPECT_EQ(taken.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(taken.status().message()), HasSubstr("--http"));
  const auto nonsense = HttpServer::Start({.addresses = {"nowhere"}}, executor_, gate_, Echo);
  EXPECT_EQ(nonsense.status().code(), absl::StatusCode::kInvalidArgument);
}

// --- TLS -----------------------------------------------------------------------------------------

namespace asio = boost::asio;

class TlsClient {
 public:
  explicit TlsClient(const std::string& address) {
    const HostPort at = *ParseHostPort(address);
    stream_.next_layer().connect({asio::ip::make_address(at.host), at.port});
    stream_.handshake(asio::ssl::stream_base::client);
  }
  void Send(std::string_view text) {
    boost::system::error_code ignored;
    asio::write(stream_, asio::buffer(text), ignored);
  }
  // Everything that comes until the text is in it or the connection ends.
  std::string ReadUntil(std::string_view end) {
    boost::system::error_code error;
    const size_t count = asio::read_until(stream_, asio::dynamic_buffer(got_), end, error);
    const std::string text = got_.substr(0, error ? got_.size() : count);
    got_.erase(0, text.size());
    ended_ = error;
    return text;
  }
  // How the last read ended.
  boost::system::error_code ended() const { return ended_; }

 private:
  asio::io_context io_;
  asio::ssl::context context_{asio::ssl::context::tls_client};
  asio::ssl::stream<asio::ip::tcp::socket> stream_{io_, context_};
  std::string got_;
  boost::system::error_code ended_;
};

class HttpsServerTest : public HttpServerTest {
 protected:
  void StartTls(HttpServer::Handler handler, HttpServerOptions options = {}) {
    const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
    const auto authority = wire::ClusterAuthority::OpenOrCreate(testing::TempDir(), now).value();
    const wire::TlsIdentity identity = authority.MakeCoordinatorIdentity(now).value();
    auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_server);
    context->use_certificate_chain(asio::buffer(identity.certificate));
    context->use_private_key(asio::buffer(identity.private_key), asio::ssl::context::pem);
    options.certificate = [context] { return context; };
    Start(std::move(handler), options);
  }
};

TEST_F(HttpsServerTest, SpeaksTlsToThoseWhoBeginSo) {
  StartTls(Echo);
  TlsClient client(address_);
  for (const char* body : {"one", "two"}) {
    client.Send(absl::StrCat("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n", body));
    EXPECT_THAT(client.ReadUntil(body),
                testing::AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("X-Answer: yes")));
  }
  client.Send("GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(client.ReadUntil("never"), HasSubstr("GET /last"));
  EXPECT_EQ(client.ended(), asio::error::eof) << "the server says goodbye";
  // On loopback, plain text goes on.
  RawClient plain(address_);
  plain.Send("GET /plain HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(plain.ReadAll(), HasSubstr("GET /plain"));
}

TEST_F(HttpsServerTest, MovesManyRecordsBothWays) {
  StartTls(Echo);
  const std::string body(3 << 20, 'b');
  TlsClient client(address_);
  client.Send(absl::StrCat("POST /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ",
                           body.size(), "\r\n\r\n", body));
  EXPECT_THAT(client.ReadUntil("never"), EndsWith(body));
}

TEST_F(HttpsServerTest, WhatIsRefusedIsReadThoughTheClientGoesOnSending) {
  StartTls(Echo, {.max_body_bytes = 1000});
  TlsClient client(address_);
  client.Send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
  for (int i = 0; i < 20; ++i) client.Send(std::string(5000, 'b'));
  EXPECT_THAT(client.ReadUntil("never"), HasSubstr("413"));
}

TEST_F(HttpsServerTest, SeesThatAClientHasGoneAndWritesWhileItReads) {
  std::mutex mutex;
  std::condition_variable changed;
  bool gone = false;
  std::shared_ptr<HttpExchange> held;
  StartTls([&](std::shared_ptr<HttpExchange> exchange) {
    exchange->BeginStream(200, "text/event-stream");
    exchange->Write("data: first\n\n");
    exchange->OnGone([&] {
      const std::lock_guard lock(mutex);
      gone = true;
      changed.notify_all();
    });
    const std::lock_guard lock(mutex);
    held = std::move(exchange);
    changed.notify_all();
  });
  {
    TlsClient client(address_);
    client.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    client.ReadUntil("first");
    {
      std::unique_lock lock(mutex);
      ASSERT_TRUE(
          changed.wait_for(lock, std::chrono::seconds(20), [&] { return held != nullptr; }));
    }
    for (int i = 0; i < 100; ++i) {
      client.Send("\r\n");  // as some clients do between requests
      held->Write(absl::StrCat("data: ", i, "\n\n"));
    }
    EXPECT_THAT(client.ReadUntil("data: 99"), HasSubstr("data: 50"));
  }
  std::unique_lock lock(mutex);
  EXPECT_TRUE(changed.wait_for(lock, std::chrono::seconds(20), [&] { return gone; }));
  held.reset();
}

TEST_F(HttpsServerTest, HandshakesThatNeverEndAreEnded) {
  StartTls(Echo, {.request_timeout = absl::Milliseconds(300)});
  RawClient silent(address_), half(address_), odd(address_);
  half.Send({"\x16\x03\x01\x02", 4});
  odd.Send(std::string("\x16") + std::string(200, 'x'));
  EXPECT_EQ(silent.ReadAll(), "");
  half.ReadAll();
  odd.ReadAll();
  TlsClient client(address_);
  client.Send("GET /after HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(client.ReadUntil("never"), HasSubstr("GET /after"));
}

}  // namespace
}  // namespace potluck::coordinator
