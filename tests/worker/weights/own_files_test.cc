// A model that is asked for is found among this machine's files, and no other file is read.
#include "worker/weights/own_files.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <optional>

#include "tests/testing/simulated_executor.h"

namespace potluck::worker {
namespace {

namespace fs = std::filesystem;

const std::string kDemo = std::string(POTLUCK_SOURCE_DIR) + "/deploy/demo/";

class OwnFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(folder_);
    fs::create_directories(folder_ + "/models/a folder without a model");
    std::ofstream(folder_ + "/models/damaged.gguf") << "GGUF, or so it says";
    fs::copy_file(kDemo + "potluck-demo-4m-q8_0.gguf", folder_ + "/models/another.gguf");
    const auto file = model::OpenModelFile(kDemo + "potluck-demo-1m-q8_0.gguf");
    ASSERT_TRUE(file.ok()) << file.status();
    const auto indexed = model::MakeManifest(*file, {});
    ASSERT_TRUE(indexed.ok()) << indexed.status();
    wanted_ = std::make_shared<const model::Manifest>(indexed->manifest);
  }
  void TearDown() override { fs::remove_all(folder_); }

  bool HasAll() const {
    return std::ranges::all_of(model::AllBlobs(*wanted_),
                               [&](const model::Blob* blob) { return files_->Has(*blob); });
  }

  const std::string folder_ = testing::TempDir() + "/own_files_test";
  SimulatedTime time_;
  const std::unique_ptr<SimulatedExecutor> reading_ = time_.MakeExecutor();
  const std::shared_ptr<model::LocalFiles> files_ = std::make_shared<model::LocalFiles>();
  const model::ManifestCache manifests_{folder_ + "/manifests"};
  std::optional<OwnFiles> own_{std::in_place, folder_ + "/models", manifests_, files_, *reading_};
  std::shared_ptr<const model::Manifest> wanted_;
};

TEST_F(OwnFilesTest, FindsAFileOfAnyName) {
  own_->LookFor(wanted_);
  time_.RunFor(absl::Seconds(1));
  EXPECT_FALSE(HasAll());
  EXPECT_TRUE(manifests_.All().empty()) << "all of another model was read";
  fs::copy_file(kDemo + "potluck-demo-1m-q8_0.gguf", folder_ + "/models/a name.gguf");
  own_->LookFor(wanted_);
  EXPECT_FALSE(HasAll());
  time_.RunFor(absl::Seconds(1));
  EXPECT_TRUE(HasAll());
  EXPECT_EQ(manifests_.All().size(), 1u);
}

TEST_F(OwnFilesTest, FindsWhatAnotherProcessHasRead) {
  const auto file = model::OpenModelFile(kDemo + "potluck-demo-1m-q8_0.gguf");
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE(manifests_.Get(*file, {}).ok());
  own_->LookFor(wanted_);
  time_.RunFor(absl::Seconds(1));
  EXPECT_TRUE(HasAll());
}

TEST_F(OwnFilesTest, ReadsNoFurtherOnceItIsGone) {
  fs::copy_file(kDemo + "potluck-demo-1m-q8_0.gguf", folder_ + "/models/a name.gguf");
  own_->LookFor(wanted_);
  own_.reset();
  time_.RunFor(absl::Seconds(1));
  EXPECT_TRUE(manifests_.All().empty());
}

}  // namespace
}  // namespace potluck::worker
