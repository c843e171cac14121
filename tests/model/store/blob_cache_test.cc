#include "model/store/blob_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>

namespace potluck::model {
namespace {

namespace fs = std::filesystem;

std::span<const std::byte> Bytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// Content that differs from chunk to chunk and from seed to seed.
std::string Content(uint64_t size, int seed) {
  std::string text(size, '\0');
  uint32_t state = static_cast<uint32_t>(seed) * 2654435761u + 1;
  for (char& c : text) c = static_cast<char>((state = state * 1664525u + 1013904223u) >> 24);
  return text;
}

class BlobCacheTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "/blob_cache_" +
              testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  BlobCacheOptions Options(uint64_t max_bytes = 1 << 30) {
    return {.folder = folder_,
            .max_bytes = max_bytes,
            .min_free_bytes = 0,
            .now = [this] { return now_; },
            .free_bytes = nullptr};
  }
  std::shared_ptr<BlobCache> Open(const BlobCacheOptions& options) {
    auto cache = BlobCache::Open(options);
    EXPECT_TRUE(cache.ok()) << cache.status();
    return cache.ok() ? *cache : nullptr;
  }
  static absl::Status WriteChunks(BlobWriter& writer, const std::string& content) {
    for (const uint64_t i : writer.MissingChunks()) {
      const auto chunk = Bytes(content).subspan(i * kChunkBytes, ChunkBytes(content.size(), i));
      if (const absl::Status status = writer.WriteChunk(i, chunk); !status.ok()) return status;
    }
    return absl::OkStatus();
  }
  static absl::Status Put(BlobCache& cache, const std::string& content) {
    const auto writer = cache.Write(BlobOf(Bytes(content)));
    if (!writer.ok()) return writer.status();
    if (const absl::Status status = WriteChunks(**writer, content); !status.ok()) return status;
    return (*writer)->Finish();
  }
  size_t FilesIn(const std::string& part) {
    size_t count = 0;
    for ([[maybe_unused]] const auto& entry : fs::directory_iterator(folder_ + part)) ++count;
    return count;
  }
  // Runs in a process of its own, which then ends like one that crashed. 0 where `body` says true.
  static int InChild(const std::function<bool()>& body) {
    const pid_t child = fork();
    if (child == 0) _exit(body() ? 0 : 1);
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  std::string folder_;
  absl::Time now_ = absl::FromUnixSeconds(1'000'000);
};

TEST_F(BlobCacheTest, KeepsWhatWasWritten) {
  const auto cache = Open(Options());
  const std::string content = Content(2 * kChunkBytes + 5, 1);
  const Blob blob = BlobOf(Bytes(content));
  EXPECT_FALSE(cache->Has(blob));
  EXPECT_TRUE(absl::IsNotFound(cache->Map(blob).status()));
  std::vector<std::byte> buffer(kChunkBytes);
  EXPECT_TRUE(absl::IsNotFound(cache->ReadChunk(blob.id, 0, buffer).status()));
  {
    const auto writer = cache->Write(blob);
    ASSERT_TRUE(writer.ok()) << writer.status();
    EXPECT_EQ((*writer)->MissingChunks(), (std::vector<uint64_t>{0, 1, 2}));
    EXPECT_TRUE(absl::IsUnavailable(cache->Write(blob).status()));
    // Any order, from several threads, and twice.
    std::thread other([&] {
      EXPECT_TRUE((*writer)->WriteChunk(2, Bytes(content).subspan(2 * kChunkBytes)).ok());
      EXPECT_TRUE((*writer)->WriteChunk(2, Bytes(content).subspan(2 * kChunkBytes)).ok());
    });
    EXPECT_TRUE((*writer)->WriteChunk(1, Bytes(content).subspan(kChunkBytes, kChunkBytes)).ok());
    other.join();
    EXPECT_TRUE(absl::IsFailedPrecondition((*writer)->Finish()));
    EXPECT_FALSE(cache->Has(blob));
    EXPECT_TRUE((*writer)->WriteChunk(0, Bytes(content).first(kChunkBytes)).ok());
    EXPECT_TRUE((*writer)->Finish().ok());
  }
  EXPECT_TRUE(cache->Has(blob));
  EXPECT_TRUE(absl::IsAlreadyExists(cache->Write(blob).status()));
  const auto mapped = cache->Map(blob);
  ASSERT_TRUE(mapped.ok()) << mapped.status();
  EXPECT_TRUE(std::ranges::equal((*mapped)->bytes(), Bytes(content)));
  EXPECT_EQ(*cache->ReadChunk(blob.id, 2, buffer), 5u);
  EXPECT_TRUE(std::ranges::equal(std::span(buffer).first(5), Bytes(content).last(5)));
  EXPECT_TRUE(absl::IsInvalidArgument(cache->ReadChunk(blob.id, 3, buffer).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      cache->ReadChunk(blob.id, 0, std::span(buffer).first(kChunkBytes - 1)).status()));
  EXPECT_EQ(FilesIn("/partial"), 0u);
  struct stat info;
  ASSERT_EQ(stat((folder_ + "/blobs/" + blob.id.ToHex()).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(stat((folder_ + "/blobs").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST_F(BlobCacheTest, RefusesWrongChunks) {
  const auto cache = Open(Options());
  const std::string content = Content(kChunkBytes + 100, 1);
  const auto writer = cache->Write(BlobOf(Bytes(content)));
  ASSERT_TRUE(writer.ok()) << writer.status();
  std::string damaged = content.substr(kChunkBytes);
  damaged[50] = static_cast<char>(damaged[50] ^ 1);
  EXPECT_TRUE(absl::IsDataLoss((*writer)->WriteChunk(1, Bytes(damaged))));
  EXPECT_TRUE(absl::IsDataLoss((*writer)->WriteChunk(0, Bytes(Content(kChunkBytes, 2)))));
  EXPECT_TRUE(absl::IsInvalidArgument((*writer)->WriteChunk(1, Bytes(damaged).first(99))));
  EXPECT_TRUE(absl::IsInvalidArgument((*writer)->WriteChunk(2, Bytes(damaged))));
  EXPECT_TRUE(absl::IsInvalidArgument((*writer)->WriteChunk(~uint64_t{0}, {})));
  EXPECT_EQ((*writer)->MissingChunks().size(), 2u);
  // Nothing of it reached the disk.
  std::string stored(kChunkBytes + 100, 'x');
  const int file =
      open((folder_ + "/partial/" + BlobOf(Bytes(content)).id.ToHex()).c_str(), O_RDONLY);
  ASSERT_EQ(pread(file, stored.data(), stored.size(), 0), static_cast<ssize_t>(stored.size()));
  close(file);
  EXPECT_EQ(stored, std::string(stored.size(), '\0'));
}

// A process ends after each step of a fetch in turn; the next one goes on with what was stored.
TEST_F(BlobCacheTest, GoesOnAfterACrashAtAnyStep) {
  for (int steps = 0; steps <= 6; ++steps) {
    SCOPED_TRACE(steps);
    fs::remove_all(folder_);
    const std::string content = Content(2 * kChunkBytes + 5, steps);
    const Blob blob = BlobOf(Bytes(content));
    const auto crash = [&] {
      int left = steps;
      if (left-- == 0) return true;
      const auto cache = BlobCache::Open(Options());
      if (left-- == 0) return cache.ok();
      const auto writer = (*cache)->Write(blob);
      for (const uint64_t i : {2, 0, 1}) {
        if (left-- == 0) return writer.ok();
        const auto chunk = Bytes(content).subspan(i * kChunkBytes, ChunkBytes(content.size(), i));
        if (!(*writer)->WriteChunk(i, chunk).ok()) return false;
      }
      if (left-- == 0) _exit(0);
      if (!(*writer)->Finish().ok()) return false;
      _exit(0);
    };
    ASSERT_EQ(InChild(crash), 0);
    const auto cache = Open(Options());
    const size_t stored = steps < 2 ? 0 : steps - 2;
    if (steps == 6) {
      EXPECT_TRUE(cache->Has(blob));
      continue;
    }
    const auto writer = cache->Write(blob);
    ASSERT_TRUE(writer.ok()) << writer.status();
    EXPECT_EQ((*writer)->MissingChunks().size(), 3 - stored);
    ASSERT_TRUE(WriteChunks(**writer, content).ok());
    ASSERT_TRUE((*writer)->Finish().ok());
    EXPECT_TRUE(std::ranges::equal((*cache->Map(blob))->bytes(), Bytes(content)));
  }
}

TEST_F(BlobCacheTest, TrustsNoTornWrite) {
  const auto cache = Open(Options());
  const std::string content = Content(2 * kChunkBytes + 5, 1);
  const Blob blob = BlobOf(Bytes(content));
  { ASSERT_TRUE(WriteChunks(**cache->Write(blob), content).ok()); }
  const std::string path = folder_ + "/partial/" + blob.id.ToHex();
  const int file = open(path.c_str(), O_RDWR);
  ASSERT_EQ(pwrite(file, "torn", 4, kChunkBytes + 4096), 4);
  close(file);
  EXPECT_EQ((*cache->Write(blob))->MissingChunks(), std::vector<uint64_t>{1});
  // Cut off, it begins anew.
  ASSERT_EQ(truncate(path.c_str(), 100), 0);
  EXPECT_EQ((*cache->Write(blob))->MissingChunks().size(), 3u);
  ASSERT_TRUE(WriteChunks(**cache->Write(blob), content).ok());
  // A whole blob of the wrong size is none.
  ASSERT_TRUE((*cache->Write(blob))->Finish().ok());
  ASSERT_EQ(truncate((folder_ + "/blobs/" + blob.id.ToHex()).c_str(), 100), 0);
  EXPECT_FALSE(cache->Has(blob));
  EXPECT_TRUE(absl::IsNotFound(cache->Map(blob).status()));
  EXPECT_TRUE(Put(*cache, content).ok());
}

TEST_F(BlobCacheTest, FindsWhatADiskHasForgotten) {
  const std::string content = Content(2 * kChunkBytes + 5, 1);
  const Blob blob = BlobOf(Bytes(content));
  const BlobCacheOptions options = Options(content.size());  // room for one
  {
    const auto cache = Open(options);
    EXPECT_TRUE(absl::IsNotFound(cache->Verify(blob)));
    ASSERT_TRUE(Put(*cache, content).ok());
    EXPECT_TRUE(cache->IsVerified(blob.id));
  }
  {
    const auto cache = Open(options);
    EXPECT_FALSE(cache->IsVerified(blob.id));
    EXPECT_TRUE(cache->Verify(blob).ok());
    EXPECT_TRUE(cache->IsVerified(blob.id));
  }
  for (const off_t at : {off_t{0}, static_cast<off_t>(content.size() - 1)}) {
    const auto cache = Open(options);
    const int file = open((folder_ + "/blobs/" + blob.id.ToHex()).c_str(), O_WRONLY);
    const char other = static_cast<char>(~content[at]);
    ASSERT_EQ(pwrite(file, &other, 1, at), 1);
    close(file);
    const absl::Status damaged = cache->Verify(blob);
    EXPECT_TRUE(absl::IsDataLoss(damaged)) << damaged;
    EXPECT_FALSE(cache->IsVerified(blob.id));
    EXPECT_FALSE(cache->Has(blob));
    EXPECT_TRUE(Put(*cache, content).ok());
    EXPECT_TRUE(cache->Verify(blob).ok());
  }
}

TEST_F(BlobCacheTest, TakesHalfOfTheDiskWhereNobodySaysHowMuch) {
  BlobCacheOptions options = Options();
  EXPECT_EQ(*Open(options)->MaxBytes(), 1u << 30);
  options.max_bytes.reset();
  EXPECT_EQ(*Open(options)->MaxBytes(), std::filesystem::space(folder_).capacity / 2);
}

TEST_F(BlobCacheTest, EvictsTheLongestUnusedThatNobodyPins) {
  const auto cache = Open(Options(/*max_bytes=*/5000));
  std::vector<std::string> contents;
  std::vector<Blob> blobs;
  for (int i = 0; i < 8; ++i) {
    contents.push_back(Content(1000, i));
    blobs.push_back(BlobOf(Bytes(contents.back())));
  }
  for (int i = 0; i < 5; ++i) {
    // A clock that goes back changes no order.
    now_ += i == 3 ? -absl::Hours(1000) : absl::Seconds(1);
    ASSERT_TRUE(Put(*cache, contents[i]).ok());
  }
  ASSERT_TRUE(cache->Map(blobs[0]).ok());
  auto pin = cache->Pin({blobs[1].id, blobs[7].id});
  ASSERT_TRUE(pin.ok()) << pin.status();
  ASSERT_TRUE(Put(*cache, contents[5]).ok());
  EXPECT_FALSE(cache->Has(blobs[2]));
  ASSERT_TRUE(Put(*cache, contents[6]).ok());
  EXPECT_FALSE(cache->Has(blobs[3]));
  ASSERT_TRUE(Put(*cache, contents[7]).ok());
  EXPECT_FALSE(cache->Has(blobs[4]));
  const auto list = cache->List();
  ASSERT_TRUE(list.ok()) << list.status();
  std::vector<Sha256Digest> ids;
  for (const CachedBlob& blob : *list) ids.push_back(blob.id);
  EXPECT_EQ(ids, (std::vector<Sha256Digest>{blobs[0].id, blobs[1].id, blobs[5].id, blobs[6].id,
                                            blobs[7].id}));
  EXPECT_TRUE((*list)[1].pinned && (*list)[4].pinned && !(*list)[0].pinned);
  // What cannot fit evicts nothing.
  const std::string large = Content(3001, 9);
  EXPECT_TRUE(absl::IsResourceExhausted(Put(*cache, large)));
  EXPECT_EQ(FilesIn("/blobs"), 5u);
  EXPECT_EQ(FilesIn("/partial"), 0u);
  const auto cleared = cache->Clear();
  ASSERT_TRUE(cleared.ok()) << cleared.status();
  EXPECT_EQ(cleared->removed_blobs, 3u);
  EXPECT_EQ(cleared->pinned_blobs, 2u);
  EXPECT_EQ(cleared->kept_bytes, 2000u);
  pin = absl::CancelledError();
  EXPECT_EQ(cache->Prune(1500)->removed_blobs, 1u);
  EXPECT_TRUE(Put(*cache, large).ok());
}

TEST_F(BlobCacheTest, KnowsBeforehandWhatFits) {
  const auto cache = Open(Options(/*max_bytes=*/5000));
  ASSERT_TRUE(Put(*cache, Content(4000, 0)).ok());  // may go
  const std::string begun = Content(2000, 1);
  const Blob blobs[] = {BlobOf(Bytes(begun)), BlobOf(Bytes(Content(3000, 2))),
                        BlobOf(Bytes(Content(1, 3)))};
  const Blob* wanted[] = {&blobs[0], &blobs[1], &blobs[2]};
  const auto pin = cache->Pin({blobs[0].id, blobs[1].id, blobs[2].id});
  ASSERT_TRUE(pin.ok()) << pin.status();
  EXPECT_TRUE(cache->CheckRoom(std::span(wanted).first(2)).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(cache->CheckRoom(wanted)));
  // What has been begun has its room, and counts once.
  { ASSERT_TRUE(cache->Write(blobs[0]).ok()); }
  EXPECT_TRUE(cache->CheckRoom(std::span(wanted).first(2)).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(cache->CheckRoom(wanted)));
  EXPECT_FALSE(cache->Has(BlobOf(Bytes(Content(4000, 0)))));
}

TEST_F(BlobCacheTest, LeavesRoomOnTheDisk) {
  uint64_t disk = 10'000;
  BlobCacheOptions options = Options();
  options.min_free_bytes = 4'000;
  options.free_bytes = [&](const std::string& folder) -> absl::StatusOr<uint64_t> {
    uint64_t used = 0;
    for (const char* part : {"/blobs", "/partial"}) {
      for (const auto& entry : fs::directory_iterator(folder + part)) used += entry.file_size();
    }
    return disk - used;
  };
  const auto cache = Open(options);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Put(*cache, Content(2000, i)).ok()) << i;
  EXPECT_EQ(FilesIn("/blobs"), 3u);
  ASSERT_TRUE(Put(*cache, Content(2000, 3)).ok());
  EXPECT_EQ(FilesIn("/blobs"), 3u);
  EXPECT_FALSE(cache->Has(BlobOf(Bytes(Content(2000, 0)))));
  // Other programs filled the disk: nothing is thrown away in vain.
  disk = 7'000;
  const absl::Status status = Put(*cache, Content(3500, 4));
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_EQ(FilesIn("/blobs"), 3u);
}

TEST_F(BlobCacheTest, LeavesNothingHalfWrittenWhereAFileMayNotGrow) {
  const std::string content = Content(kChunkBytes + 5, 1);
  EXPECT_EQ(InChild([&] {
              signal(SIGXFSZ, SIG_IGN);
              const auto cache = BlobCache::Open(Options());
              const rlimit limit = {1 << 20, 1 << 20};
              setrlimit(RLIMIT_FSIZE, &limit);
              const absl::Status status = Put(**cache, content);
              return absl::IsResourceExhausted(status) && FilesIn("/partial") == 0;
            }),
            0);
}

TEST_F(BlobCacheTest, SaysThatTheDiskIsFull) {
  fs::create_directories(folder_);
  if (mount("tmpfs", folder_.c_str(), "tmpfs", 0, "size=6m") != 0) {
    GTEST_SKIP() << "cannot mount a small tmpfs here";
  }
  {
    const auto cache = Open(Options());
    ASSERT_TRUE(Put(*cache, Content(kChunkBytes, 1)).ok());
    // The limit of the cache allows it, the disk does not: what nobody uses goes first.
    BlobCacheOptions careful = Options();
    careful.min_free_bytes = 1 << 20;
    const auto other = Open(careful);
    ASSERT_TRUE(Put(*other, Content(kChunkBytes, 2)).ok());
    EXPECT_FALSE(cache->Has(BlobOf(Bytes(Content(kChunkBytes, 1)))));
    // Somebody else fills the disk behind the cache's back.
    const std::string filler = folder_ + "/somebody's file";
    const int file = open(filler.c_str(), O_CREAT | O_WRONLY, 0600);
    ASSERT_GE(file, 0);
    const std::string block(1 << 16, 'x');
    while (write(file, block.data(), block.size()) > 0) {
    }
    close(file);
    BlobCacheOptions blind = Options();
    blind.free_bytes = [](const std::string&) -> absl::StatusOr<uint64_t> { return 1 << 30; };
    const absl::Status status = Put(*Open(blind), Content(kChunkBytes, 3));
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    EXPECT_EQ(FilesIn("/partial"), 0u);
    EXPECT_TRUE(fs::exists(filler));
  }
  umount(folder_.c_str());
}

// Another process, held at a point of its work until it is killed.
class Neighbour {
 public:
  explicit Neighbour(const std::function<std::shared_ptr<const void>()>& work) {
    int ready[2];
    EXPECT_EQ(pipe(ready), 0);
    pid_ = fork();
    if (pid_ == 0) {
      const auto held = work();
      const char ok = held != nullptr ? '1' : '0';
      if (write(ready[1], &ok, 1) != 1) _exit(1);
      while (true) pause();
    }
    close(ready[1]);
    char ok = 0;
    EXPECT_EQ(read(ready[0], &ok, 1), 1);
    EXPECT_EQ(ok, '1');
    close(ready[0]);
  }
  ~Neighbour() { Kill(); }
  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  pid_t pid_ = 0;
};

TEST_F(BlobCacheTest, SharesAFolderWithOtherProcesses) {
  const std::string content = Content(1000, 1), fetched = Content(2 * kChunkBytes, 2);
  const Blob blob = BlobOf(Bytes(content)), partial = BlobOf(Bytes(fetched));
  Neighbour pinning([&]() -> std::shared_ptr<const void> {
    const auto cache = BlobCache::Open(Options());
    if (!cache.ok() || !Put(**cache, content).ok()) return nullptr;
    const auto pin = (*cache)->Pin({blob.id});
    return pin.ok() ? *pin : nullptr;
  });
  Neighbour fetching([&]() -> std::shared_ptr<const void> {
    const auto cache = BlobCache::Open(Options());
    const auto writer = (*cache)->Write(partial);
    if (!writer.ok()) return nullptr;
    return (*writer)->WriteChunk(1, Bytes(fetched).subspan(kChunkBytes)).ok() ? *writer : nullptr;
  });
  const auto cache = Open(Options());
  EXPECT_TRUE(cache->Has(blob));
  EXPECT_TRUE(absl::IsUnavailable(cache->Write(partial).status()));
  auto cleared = cache->Clear();
  ASSERT_TRUE(cleared.ok()) << cleared.status();
  EXPECT_EQ(cleared->removed_blobs, 0u);
  EXPECT_EQ(cleared->pinned_blobs, 2u);
  // The other one hangs: this one fetches beside it.
  {
    const auto beside = cache->Write(partial, /*beside_others=*/true);
    ASSERT_TRUE(beside.ok()) << beside.status();
    EXPECT_EQ((*beside)->MissingChunks().size(), 2u);
  }
  fetching.Kill();
  {
    const auto writer = cache->Write(partial);
    ASSERT_TRUE(writer.ok()) << writer.status();
    EXPECT_EQ((*writer)->MissingChunks(), std::vector<uint64_t>{0});
  }
  pinning.Kill();
  cleared = cache->Clear();
  EXPECT_EQ(cleared->removed_blobs, 3u);
  EXPECT_EQ(cleared->kept_blobs, 0u);
  EXPECT_EQ(FilesIn("/pins"), 1u) << "those of the dead are gone";
}

TEST_F(BlobCacheTest, LeavesOtherFilesAlone) {
  const auto cache = Open(Options());
  ASSERT_TRUE(Put(*cache, Content(10, 1)).ok());
  const std::string id(64, 'a');
  std::vector<std::string> others;
  for (const std::string& name :
       {std::string("blobs/notes.txt"), "blobs/" + id + ".1", "blobs/" + std::string(64, 'A'),
        "blobs/" + id + "0", "partial/" + id + ".x", std::string("pins/mine"),
        std::string("more")}) {
    others.push_back(folder_ + "/" + name);
    close(open(others.back().c_str(), O_CREAT | O_WRONLY, 0600));
  }
  fs::create_symlink(others[0], folder_ + "/blobs/" + id);
  EXPECT_EQ(cache->List()->size(), 1u);
  EXPECT_EQ(cache->Clear()->removed_blobs, 1u);
  for (const std::string& path : others) EXPECT_TRUE(fs::exists(path)) << path;
  EXPECT_TRUE(fs::is_symlink(folder_ + "/blobs/" + id));
  EXPECT_FALSE(BlobCache::Open({.folder = others[0], .now = [] { return absl::Time(); }}).ok());
}

TEST_F(BlobCacheTest, CountsAnewWhereTheTallyIsWrong) {
  { ASSERT_TRUE(Put(*Open(Options()), Content(3000, 1)).ok()); }
  const std::string lock = folder_ + "/lock";
  for (const std::string& text : {std::string(""), std::string("x"), std::string("5 5"),
                                  std::string("99999999999999999999 1\n"), std::string(100, '7')}) {
    const int file = open(lock.c_str(), O_WRONLY | O_TRUNC);
    ASSERT_EQ(write(file, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    close(file);
    const auto cache = Open(Options(/*max_bytes=*/5000));
    EXPECT_TRUE(absl::IsResourceExhausted(Put(*cache, Content(5001, 2))));
    EXPECT_EQ(FilesIn("/blobs"), 1u);
  }
}

}  // namespace
}  // namespace potluck::model
