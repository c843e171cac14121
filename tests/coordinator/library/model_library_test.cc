// Opening models, and being told in time that nobody wants them any more.
#include "coordinator/library/model_library.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <optional>

#include "tests/testing/simulated_executor.h"

namespace potluck::coordinator {
namespace {

namespace fs = std::filesystem;

class ModelLibraryTest : public ::testing::Test {
 protected:
  void SetUp() override { fs::remove_all(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  void Open(const std::string& path) {
    library_->Open(path, [this](auto model) { opened_ = std::move(model); });
  }

  const std::string demo_ =
      std::string(POTLUCK_SOURCE_DIR) + "/deploy/demo/potluck-demo-1m-q8_0.gguf";
  const std::string folder_ = testing::TempDir() + "/model_library_test";
  SimulatedTime time_;
  const std::unique_ptr<SimulatedExecutor> logic_ = time_.MakeExecutor(),
                                           reading_ = time_.MakeExecutor();
  const model::ManifestCache manifests_{folder_};
  model::LocalFiles local_;
  std::optional<ModelLibrary> library_{std::in_place, manifests_, local_, *reading_, *logic_};
  std::optional<absl::StatusOr<std::shared_ptr<const ServedModel>>> opened_;
};

TEST_F(ModelLibraryTest, WhatItHasOpenedCanBeServed) {
  Open(demo_);
  time_.RunFor(absl::Seconds(1));
  ASSERT_TRUE(opened_.has_value() && opened_->ok());
  const auto manifest = model::ParseManifest((**opened_)->manifest_bytes);
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  for (const model::Blob* blob : model::AllBlobs(*manifest)) EXPECT_TRUE(local_.Has(*blob));
  EXPECT_EQ(manifests_.All().size(), 1u);
}

TEST_F(ModelLibraryTest, SaysWhatIsNoModel) {
  Open(folder_ + "/none.gguf");
  time_.RunFor(absl::Seconds(1));
  ASSERT_TRUE(opened_.has_value());
  EXPECT_TRUE(absl::IsNotFound(opened_->status())) << opened_->status();
}

TEST_F(ModelLibraryTest, ReadsNoFurtherOnceItIsGone) {
  Open(demo_);
  library_.reset();
  time_.RunFor(absl::Seconds(1));
  EXPECT_FALSE(opened_.has_value());
  EXPECT_TRUE(manifests_.All().empty());
}

// What was read when it went is of no use to whom had asked.
TEST_F(ModelLibraryTest, TellsNobodyOnceItIsGone) {
  Open(demo_);
  time_.RunUntil([this] { return !manifests_.All().empty(); }, absl::Seconds(1));
  EXPECT_FALSE(opened_.has_value());
  library_.reset();
  time_.RunFor(absl::Seconds(1));
  EXPECT_FALSE(opened_.has_value());
}

}  // namespace
}  // namespace potluck::coordinator
