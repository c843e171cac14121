// Asks a Potluck cluster over gRPC and prints the answer as it comes.
//
//   chat HOST:PORT QUESTION
//
// The environment may have POTLUCK_API_KEY, and POTLUCK_CA: a PEM file of the authority that has
// signed the cluster's certificate, for TLS.
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>

#include "grpcpp/grpcpp.h"
#include "potluck/v1/inference.grpc.pb.h"

namespace {

std::shared_ptr<grpc::ChannelCredentials> Credentials() {
  const char* authority = std::getenv("POTLUCK_CA");
  if (authority == nullptr) return grpc::InsecureChannelCredentials();
  std::ifstream file(authority);
  grpc::SslCredentialsOptions options;
  options.pem_root_certs.assign(std::istreambuf_iterator<char>(file), {});
  return grpc::SslCredentials(options);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: " << argv[0] << " HOST:PORT QUESTION\n";
    return 2;
  }
  const auto inference =
      potluck::v1::Inference::NewStub(grpc::CreateChannel(argv[1], Credentials()));

  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(5));
  if (const char* key = std::getenv("POTLUCK_API_KEY"))
    context.AddMetadata("authorization", std::string("Bearer ") + key);

  potluck::v1::ChatRequest request;
  potluck::v1::ChatMessage& message = *request.add_messages();
  message.set_role("user");
  message.set_content(argv[2]);
  request.mutable_options()->set_max_tokens(256);

  const auto stream = inference->Chat(&context, request);
  potluck::v1::AnswerEvent event;
  while (stream->Read(&event)) {
    if (event.has_piece()) std::cout << event.piece().text() << std::flush;
    if (event.has_ended()) std::cerr << "\n" << event.ended().generated_tokens() << " tokens\n";
  }
  const grpc::Status status = stream->Finish();
  if (!status.ok()) {
    std::cerr << status.error_message() << "\n";
    return 1;
  }
  std::cout << "\n";
  return 0;
}
