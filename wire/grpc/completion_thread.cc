#include "wire/grpc/completion_thread.h"

#include <pthread.h>

#include <utility>

namespace potluck::wire {

CompletionThread::CompletionThread(std::shared_ptr<grpc::CompletionQueue> queue)
    : queue_(std::move(queue)), thread_([this] {
        void* completion = nullptr;
        bool ok = false;
        while (queue_->Next(&completion, &ok))
          static_cast<Completion*>(completion)->OnCompleted(ok);
      }) {
  pthread_setname_np(thread_.native_handle(), "grpc");
}

CompletionThread::~CompletionThread() {
  queue_->Shutdown();
  thread_.join();
}

}  // namespace potluck::wire
