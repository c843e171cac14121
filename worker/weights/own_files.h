// Finds models that are being fetched among this machine's own files: in the background, so that a
// fetch goes on meanwhile and leaves what is found to them.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "common/executor.h"
#include "model/store/local_files.h"
#include "model/store/manifest_cache.h"

namespace potluck::worker {

// Lives on the executor that asks.
class OwnFiles {
 public:
  // `reading` runs what reads files, for as long as that takes: nothing that others wait for.
  // `manifests` and `files` are told what was found; `reading` must outlive this.
  OwnFiles(std::string models_folder, model::ManifestCache manifests,
           std::shared_ptr<model::LocalFiles> files, Executor& reading);
  // Ends soon what is being read.
  ~OwnFiles() { *cancelled_ = true; }
  OwnFiles(const OwnFiles&) = delete;
  OwnFiles& operator=(const OwnFiles&) = delete;

  // What other processes of this user have found meanwhile, then models of the folder that begin as
  // this one does; of these every byte is read, once.
  void LookFor(std::shared_ptr<const model::Manifest> manifest);

 private:
  const std::string models_folder_;
  const model::ManifestCache manifests_;
  const std::shared_ptr<model::LocalFiles> files_;
  Executor& reading_;
  const std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace potluck::worker
