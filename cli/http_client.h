// Asks a running cluster over HTTP. Blocking, one call at a time; Ctrl-C ends a call.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "cli/network.h"
#include "common/host_port.h"

namespace potluck::cli {

struct HttpReply {
  int status = 0;
  std::string content_type;
  std::string body;  // without the pieces that were handed on
};

class HttpClient {
 public:
  // `url`: "http://HOST[:PORT]", port 7070 where it is left out, or "https://HOST[:PORT]", port
  // 443. `api_key` may be empty.
  static absl::StatusOr<HttpClient> Create(std::string_view url, std::string api_key);

  // Unavailable where nobody answers (with what to do), Cancelled by an interrupt. `on_piece` is
  // handed the body of an event stream as it comes; false ends the call.
  absl::StatusOr<HttpReply> Get(const std::string& path) const { return Call("GET", path, "", {}); }
  absl::StatusOr<HttpReply> Post(const std::string& path, const std::string& json_body,
                                 const std::function<bool(std::string_view)>& on_piece = {}) const {
    return Call("POST", path, json_body, on_piece);
  }

  std::string url() const;
  bool loopback() const { return IsLoopback(at_.host); }

 private:
  HttpClient(bool tls, HostPort at, std::string api_key)
      : tls_(tls), at_(std::move(at)), api_key_(std::move(api_key)) {}
  absl::StatusOr<HttpReply> Call(std::string_view method, const std::string& path,
                                 const std::string& body,
                                 const std::function<bool(std::string_view)>& on_piece) const;

  bool tls_;
  HostPort at_;
  std::string api_key_;
};

}  // namespace potluck::cli
