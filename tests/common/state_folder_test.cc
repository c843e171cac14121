#include "common/state_folder.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"

namespace potluck {
namespace {

namespace fs = std::filesystem;

class StateFolderTest : public ::testing::Test {
 protected:
  StateFolderTest() {
    std::string pattern = ::testing::TempDir() + "/state.XXXXXX";
    root_ = mkdtemp(pattern.data());
    base_ = root_ + "/deep/down";
  }
  ~StateFolderTest() override { fs::remove_all(root_); }

  StateFolder Lock(const std::string& role = "worker") {
    auto folder = StateFolder::Lock(base_, role);
    EXPECT_TRUE(folder.ok()) << folder.status();
    return *std::move(folder);
  }
  absl::Status FailToLock(const std::string& base) {
    return StateFolder::Lock(base, "worker").status();
  }
  static mode_t ModeOf(const std::string& path) {
    struct stat info;
    EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
    return info.st_mode & 0777;
  }

  std::string root_, base_;
};

TEST_F(StateFolderTest, MakesTheFolderForItsUserAlone) {
  const StateFolder folder = Lock();
  EXPECT_EQ(folder.path(), base_ + "/worker");
  EXPECT_EQ(ModeOf(folder.path()), 0700u);
}

TEST_F(StateFolderTest, EachProcessOfARoleHasOneAndTakesTheFirstThatIsFree) {
  auto first = std::make_unique<StateFolder>(Lock());
  const StateFolder second = Lock(), third = Lock();
  EXPECT_EQ(second.path(), base_ + "/worker-2");
  EXPECT_EQ(third.path(), base_ + "/worker-3");
  first.reset();
  EXPECT_EQ(Lock().path(), base_ + "/worker");
  EXPECT_EQ(Lock("coordinator").path(), base_ + "/coordinator");
}

TEST_F(StateFolderTest, AMoveKeepsTheLock) {
  StateFolder first = Lock();
  StateFolder moved = std::move(first);
  EXPECT_EQ(Lock().path(), base_ + "/worker-2");
  StateFolder second = Lock();
  EXPECT_EQ(second.path(), base_ + "/worker-2");
  second = std::move(moved);
  EXPECT_EQ(second.path(), base_ + "/worker");
}

TEST_F(StateFolderTest, AKilledProcessLeavesItsFolderFree) {
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const auto folder = StateFolder::Lock(base_, "worker");
    const char done = folder.ok() ? 'y' : 'n';
    if (write(pipe_ends[1], &done, 1) != 1) _exit(1);
    pause();
    _exit(0);
  }
  char done = 0;
  ASSERT_EQ(read(pipe_ends[0], &done, 1), 1);
  EXPECT_EQ(done, 'y');
  EXPECT_EQ(Lock().path(), base_ + "/worker-2");
  for (const std::string& where : {base_, base_ + "/worker"}) {
    const auto holders = StateFolder::Holders(where, "worker");
    ASSERT_EQ(holders.size(), 1u) << where;
    EXPECT_EQ(holders[0].path, base_ + "/worker");
    EXPECT_EQ(holders[0].process, child);
  }
  EXPECT_TRUE(StateFolder::Holders(base_, "coordinator").empty());
  kill(child, SIGKILL);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(StateFolder::Holders(base_, "worker").empty());
  EXPECT_EQ(Lock().path(), base_ + "/worker");
  close(pipe_ends[0]);
  close(pipe_ends[1]);
}

TEST_F(StateFolderTest, ThereIsABound) {
  std::vector<StateFolder> all;
  for (int i = 0; i < StateFolder::kMostProcesses; ++i) all.push_back(Lock());
  EXPECT_EQ(FailToLock(base_).code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(StateFolderTest, AFolderIntoWhichOthersMayLookIsRefused) {
  const std::string path = Lock().path();
  for (const mode_t open_to_others : {0740u, 0701u, 0720u, 0702u}) {
    ASSERT_EQ(chmod(path.c_str(), open_to_others), 0);
    const absl::Status status = FailToLock(base_);
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
    EXPECT_TRUE(absl::StrContains(status.message(), "chmod 700 " + path)) << status;
  }
  ASSERT_EQ(chmod(path.c_str(), 0700), 0);
  EXPECT_EQ(Lock().path(), path);
}

TEST_F(StateFolderTest, FilesThatOthersMayReadAreClosedToThem) {
  const std::string key = StateFolder::Lock(base_, "worker")->path() + "/key.pem";
  std::ofstream(key) << "secret";
  std::filesystem::permissions(key, std::filesystem::perms(0644));
  ASSERT_TRUE(StateFolder::Lock(base_, "worker").ok());
  EXPECT_EQ(std::filesystem::status(key).permissions(), std::filesystem::perms(0600));
}

TEST_F(StateFolderTest, WhatIsNoFolderIsSaidWithAdvice) {
  std::ofstream(root_ + "/file") << "x";
  for (const std::string& base : {root_ + "/file", root_ + "/file/below"}) {
    const absl::Status status = FailToLock(base);
    EXPECT_FALSE(status.ok());
    EXPECT_TRUE(absl::StrContains(status.message(), base)) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), "--state-dir")) << status;
  }
  ASSERT_EQ(mkdir((root_ + "/base").c_str(), 0700), 0);
  std::ofstream(root_ + "/base/worker") << "x";
  EXPECT_TRUE(absl::StrContains(FailToLock(root_ + "/base").message(), "Not a directory"));
}

TEST_F(StateFolderTest, AFolderThatMayNotBeWrittenIsSaidWithAdvice) {
  ASSERT_EQ(chmod(root_.c_str(), 0755), 0);
  const bool root = geteuid() == 0;  // who may write everywhere
  if (root) {
    ASSERT_EQ(seteuid(65534), 0);
  } else {
    ASSERT_EQ(chmod(root_.c_str(), 0555), 0);
  }
  const absl::Status status = FailToLock(base_);
  if (root) {
    ASSERT_EQ(seteuid(0), 0);
  } else {
    ASSERT_EQ(chmod(root_.c_str(), 0755), 0);
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "--state-dir")) << status;
}

TEST_F(StateFolderTest, AnotherUsersFolderIsRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a folder away";
  const std::string path = Lock().path();
  ASSERT_EQ(chown(path.c_str(), 65534, 65534), 0);
  EXPECT_EQ(FailToLock(base_).code(), absl::StatusCode::kPermissionDenied);
}

}  // namespace
}  // namespace potluck
