#include "common/files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

namespace potluck {
namespace {

std::string TestPath(const std::string& name) { return testing::TempDir() + "/files_test_" + name; }

TEST(Files, WriteReadAndMapAgree) {
  const std::string path = TestPath("round_trip");
  const std::string bytes("one\0two\n", 8);
  ASSERT_TRUE(WriteFileAtomically(path, bytes).ok());
  EXPECT_EQ(*ReadFile(path, 100), bytes);
  const auto mapped = MappedFile::Open(path);
  ASSERT_TRUE(mapped.ok()) << mapped.status();
  const auto view = (*mapped)->bytes();
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(view.data()), view.size()), bytes);
}

TEST(Files, AnEmptyFileMapsToNoBytes) {
  const std::string path = TestPath("empty");
  ASSERT_TRUE(WriteFileAtomically(path, "").ok());
  EXPECT_TRUE((*MappedFile::Open(path))->bytes().empty());
}

TEST(Files, ErrorsNameThePathAndTheCause) {
  const auto missing = MappedFile::Open(TestPath("missing"));
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(missing.status().message().find("files_test_missing"), std::string::npos);
  EXPECT_EQ(MappedFile::Open(testing::TempDir()).status().code(),
            absl::StatusCode::kInvalidArgument);

  const std::string pipe = TestPath("pipe");
  std::filesystem::remove(pipe);
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(ReadFile(pipe, 10).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Files, ReadingIsBounded) {
  const std::string path = TestPath("long");
  ASSERT_TRUE(WriteFileAtomically(path, std::string(100, 'x')).ok());
  EXPECT_EQ(ReadFile(path, 99).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(Files, AFailedWriteLeavesTheOldFileAndNoTemporary) {
  const std::string folder = TestPath("folder");
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder + "/target");
  EXPECT_FALSE(WriteFileAtomically(folder + "/target", "bytes").ok());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
}

}  // namespace
}  // namespace potluck
