#include "common/files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

namespace potluck {
namespace {

std::string TestPath(const std::string& name) { return testing::TempDir() + "/files_test_" + name; }

TEST(Files, AnIdentityChangesWithTheFile) {
  const std::string path = TestPath("identity");
  ASSERT_TRUE(WriteFileAtomically(path, "one").ok());
  const auto first = IdentifyFile(path);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto mapped = MappedFile::Open(path);
  ASSERT_TRUE(mapped.ok()) << mapped.status();
  EXPECT_EQ((*mapped)->identity(), *first);
  EXPECT_EQ(first->size_bytes, 3u);
  // Another file under the name, and another time on the same file.
  ASSERT_TRUE(WriteFileAtomically(path, "two").ok());
  const auto second = IdentifyFile(path);
  EXPECT_NE(*second, *first);
  const timespec times[2] = {{0, UTIME_OMIT}, {1, 1}};
  ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  EXPECT_EQ(IdentifyFile(path)->modified_ns, 1'000'000'001);
  EXPECT_EQ(IdentifyFile(path)->inode, second->inode);
  EXPECT_EQ((*mapped)->identity(), *first);
  EXPECT_TRUE(absl::IsNotFound(IdentifyFile(path + ".gone").status()));
}

// Returns the path of a file that holds `bytes`.
std::string MakeFile(const std::string& name, const std::string& bytes) {
  const std::string path = TestPath(name);
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

TEST(Files, ReadingAndMappingGiveTheBytes) {
  const std::string bytes("one\0two\n", 8);
  const std::string path = MakeFile("bytes", bytes);
  EXPECT_EQ(*ReadFile(path, 100), bytes);
  const auto mapped = MappedFile::Open(path);
  ASSERT_TRUE(mapped.ok()) << mapped.status();
  const auto view = (*mapped)->bytes();
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(view.data()), view.size()), bytes);
}

TEST(Files, AnEmptyFileMapsToNoBytes) {
  EXPECT_TRUE((*MappedFile::Open(MakeFile("empty", "")))->bytes().empty());
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

TEST(Files, APathBecomesAbsolute) {
  const std::string here = std::filesystem::current_path().string();
  EXPECT_EQ(AbsolutePath("a/./b/../c"), here + "/a/c");
  EXPECT_EQ(AbsolutePath("/a/b"), "/a/b");
}

TEST(Files, ReadingIsBounded) {
  const std::string path = MakeFile("long", std::string(100, 'x'));
  EXPECT_EQ(ReadFile(path, 100)->size(), 100u);
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
