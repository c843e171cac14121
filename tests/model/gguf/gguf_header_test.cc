#include "model/gguf/gguf_header.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/model/gguf/gguf_builder.h"

namespace potluck::model {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<GgufHeader> Parse(const std::string& file) {
  return ParseGgufHeader(std::as_bytes(std::span(file)));
}

void ExpectError(const std::string& file, const std::string& message) {
  const absl::StatusOr<GgufHeader> header = Parse(file);
  ASSERT_FALSE(header.ok()) << "expected: " << message;
  EXPECT_EQ(header.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(header.status().message()), HasSubstr(message));
  EXPECT_EQ(header.status().message().find('\n'), absl::string_view::npos);
}

TEST(GgufHeader, ReadsEveryValueType) {
  const std::string file = GgufBuilder()
                               .Add("u8", 0, Bytes<uint8_t>(200))
                               .Add("i8", 1, Bytes<int8_t>(-100))
                               .Add("u16", 2, Bytes<uint16_t>(60000))
                               .Add("i16", 3, Bytes<int16_t>(-30000))
                               .U32("u32", 4000000000u)
                               .Add("i32", 5, Bytes<int32_t>(-2000000000))
                               .F32("f32", 0.5f)
                               .Bool("bool", true)
                               .Text("text", "h\xC3\xA9llo\n")
                               .Texts("texts", {"a", "", "bc"})
                               .Add("u64", 10, Bytes<uint64_t>(uint64_t{1} << 63))
                               .Add("i64", 11, Bytes<int64_t>(-5))
                               .Add("f64", 12, Bytes<double>(0.25))
                               .Array<int16_t>("ints", 3, {1, -2})
                               .Array<float>("floats", 6, {1.5f, 2.5f})
                               .Array<uint8_t>("bools", 7, {1, 0})
                               .Build();
  const absl::StatusOr<GgufHeader> header = Parse(file);
  ASSERT_TRUE(header.ok()) << header.status();
  const GgufMetadata& metadata = header->metadata;
  EXPECT_EQ(metadata.Int("u8").value(), 200);
  EXPECT_EQ(metadata.Int("i8").value(), -100);
  EXPECT_EQ(metadata.Int("u16").value(), 60000);
  EXPECT_EQ(metadata.Int("i16").value(), -30000);
  EXPECT_EQ(metadata.Int("u32").value(), 4000000000);
  EXPECT_EQ(metadata.Int("i32").value(), -2000000000);
  EXPECT_EQ(metadata.Int("i64").value(), -5);
  EXPECT_EQ(metadata.Float("f32").value(), 0.5);
  EXPECT_EQ(metadata.Float("f64").value(), 0.25);
  EXPECT_EQ(metadata.Float("i8").value(), -100);
  EXPECT_EQ(metadata.Bool("bool").value(), true);
  EXPECT_EQ(metadata.String("text").value(), "h\xC3\xA9llo\n");
  EXPECT_THAT(metadata.Strings("texts").value(), ElementsAre("a", "", "bc"));
  EXPECT_THAT(metadata.Ints("ints").value(), ElementsAre(1, -2));
  EXPECT_THAT(metadata.Floats("floats").value(), ElementsAre(1.5, 2.5));
  EXPECT_THAT(*metadata.Find("bools")->Bools(), ElementsAre(true, false));

  EXPECT_FALSE(metadata.Int("u64").ok()) << "2^63 is no int64";
  EXPECT_EQ(metadata.Int("none").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(metadata.Int("text").status().message()),
              HasSubstr("\"text\" is not an integer but string"));
  EXPECT_FALSE(metadata.Bool("u8").ok());
  EXPECT_FALSE(metadata.Strings("ints").ok());
  EXPECT_FALSE(metadata.Ints("texts").ok());

  EXPECT_EQ(metadata.Find("texts")->ToString(), "[3 x string: a, , bc]");
  EXPECT_EQ(metadata.Find("u64")->ToString(), "9223372036854775808");
  EXPECT_EQ(metadata.Find("bools")->TypeName(), "array of bool");
  EXPECT_EQ(metadata.entries().front().key, "u8");
  EXPECT_EQ(metadata.entries().back().key, "bools");
}

TEST(GgufHeader, ReadsTensorsOfAllVersionsAndAlignments) {
  for (const uint32_t version : {2, 3}) {
    for (const uint32_t alignment : {8, 32, 256}) {
      const std::string file = GgufBuilder()
                                   .Version(version)
                                   .Alignment(alignment)
                                   .U32("general.alignment", alignment)
                                   .Tensor("a", {2, 3}, 0, std::string(24, 'a'))
                                   .Tensor("b", {32}, 2, std::string(18, 'b'))
                                   .Tensor("c", {}, 0, std::string(4, 'c'))
                                   .Build();
      const absl::StatusOr<GgufHeader> header = Parse(file);
      ASSERT_TRUE(header.ok()) << header.status();
      ASSERT_EQ(header->tensors.size(), 3u);
      EXPECT_THAT(header->tensors[0].shape, ElementsAre(2, 3));
      EXPECT_EQ(header->tensors[1].type->name, "q4_0");
      EXPECT_THAT(header->tensors[2].shape, ElementsAre(1));
      for (size_t i = 0; i < 3; ++i) {
        const GgufTensorInfo& info = header->tensors[i];
        EXPECT_EQ(info.offset % alignment, 0u);
        EXPECT_EQ(file.substr(info.offset, info.size_bytes),
                  std::string(info.size_bytes, static_cast<char>('a' + i)));
      }
    }
  }
}

// Every prefix of a sound file is an error, or sound where only padding is missing.
TEST(GgufHeader, RefusesEveryTruncation) {
  const std::string file = GgufBuilder()
                               .Text("general.architecture", "llama")
                               .Texts("texts", {"one", "two"})
                               .Array<uint32_t>("numbers", 4, {1, 2, 3})
                               .Bool("flag", true)
                               .Tensor("first", {4, 2}, 0, std::string(32, 'x'))
                               .Tensor("second", {3}, 0, std::string(12, 'y'))
                               .Build();
  ASSERT_TRUE(Parse(file).ok());
  const size_t padding = 20;  // after the twelve bytes of the last tensor
  for (size_t size = 0; size < file.size(); ++size) {
    const absl::StatusOr<GgufHeader> header = Parse(file.substr(0, size));
    EXPECT_EQ(header.ok(), size >= file.size() - padding) << "at " << size;
    if (!header.ok()) {
      EXPECT_EQ(header.status().code(), absl::StatusCode::kInvalidArgument) << size;
    }
  }
}

// A byte changed anywhere must not crash, and must not be read beyond the end (the sanitizers
// look).
TEST(GgufHeader, SurvivesEveryChangedByte) {
  const std::string file = GgufBuilder()
                               .Text("general.architecture", "llama")
                               .Texts("texts", {"one", "two"})
                               .Tensor("first", {4, 2}, 0, std::string(32, 'x'))
                               .Build();
  for (size_t i = 0; i < file.size(); ++i) {
    for (const int change : {0x01, 0x80, 0xFF}) {
      std::string changed = file;
      changed[i] = static_cast<char>(changed[i] ^ change);
      const absl::StatusOr<GgufHeader> header = Parse(changed);
      if (!header.ok()) continue;
      for (const GgufMetadata::Entry& entry : header->metadata.entries()) entry.value.ToString();
      for (const GgufTensorInfo& info : header->tensors) {
        EXPECT_LE(info.offset + info.size_bytes, changed.size());
      }
    }
  }
}

TEST(GgufHeader, RefusesWrongMagicAndVersions) {
  ExpectError("", "the file ends in the magic");
  ExpectError("GGML" + std::string(60, '\0'), "begins with \"GGML\" instead of \"GGUF\"");
  ExpectError(GgufBuilder().Version(1).Build(), "GGUF version 1; versions 2 and 3");
  ExpectError(GgufBuilder().Version(4).Build(), "GGUF version 4; versions 2 and 3");
  ExpectError(GgufBuilder().Version(0).Build(), "GGUF version 0; versions 2 and 3");
  ExpectError(GgufBuilder().Version(0x03000000).Build(), "big-endian");
}

TEST(GgufHeader, RefusesAbsurdCounts) {
  const uint64_t huge = uint64_t{1} << 60;
  ExpectError(GgufBuilder().Counts(huge, 0).Build(), "claims 1152921504606846976 tensors");
  ExpectError(GgufBuilder().Counts(0, huge).Build(), "claims 1152921504606846976 metadata keys");
  ExpectError(GgufBuilder().Counts(~uint64_t{0}, 0).Build(), "tensors");
  ExpectError(GgufBuilder().Counts(0, 1).Build(), "metadata keys");
  ExpectError(GgufBuilder().Add("a", 9, Bytes<uint32_t>(8) + Bytes(huge)).Build(),
              "claims 1152921504606846976 elements");
  ExpectError(GgufBuilder().Add("a", 9, Bytes<uint32_t>(8) + Bytes<uint64_t>(1 << 29)).Build(),
              "claims 536870912 strings");
  ExpectError(GgufBuilder().Add("a", 9, Bytes<uint32_t>(10) + Bytes<uint64_t>(1 << 29)).Build(),
              "needs 4294967296 bytes");
  ExpectError(GgufBuilder().Add("a", 8, Bytes(huge)).Build(), "length of metadata key \"a\"");
  ExpectError(GgufBuilder().Add("a", 8, Bytes<uint64_t>(100)).Build(), "needs 100 bytes");
}

TEST(GgufHeader, RefusesBadMetadata) {
  ExpectError(GgufBuilder().U32("a", 1).U32("b", 1).U32("a", 2).Build(), "\"a\" is there twice");
  ExpectError(GgufBuilder().U32("", 1).Build(), "metadata key 1 of 1 has an empty name");
  ExpectError(GgufBuilder().Add("a", 13, "12345678").Build(), "has type 13, which GGUF does not");
  ExpectError(GgufBuilder().Add("a", 0xFFFFFFFF, "12345678").Build(), "has type 4294967295");
  ExpectError(GgufBuilder().Add("a", 7, "\x02").Build(), "holds a bool of value 2");
  ExpectError(GgufBuilder().Add("a", 9, Bytes<uint32_t>(9) + Bytes<uint64_t>(1)).Build(),
              "an array of arrays");
  ExpectError(GgufBuilder().Add("a", 9, Bytes<uint32_t>(77) + Bytes<uint64_t>(1)).Build(),
              "has type 77");
}

TEST(GgufHeader, RefusesBadAlignment) {
  for (const uint32_t alignment : {0u, 1u, 4u, 24u, 33u, 0xFFFFFFFFu}) {
    ExpectError(GgufBuilder().U32("general.alignment", alignment).Build(),
                "it must be a power of two and at least 8");
  }
  ExpectError(GgufBuilder().Text("general.alignment", "32").Build(),
              "of type string instead of u32");
  // The data start where the key's alignment says, not where the writer put them.
  ExpectError(GgufBuilder()
                  .U32("general.alignment", 1u << 31)
                  .Tensor("a", {8}, 0, std::string(32, 'x'))
                  .Build(),
              "beyond the file's");
}

TEST(GgufHeader, RefusesBadShapes) {
  const auto with_shape = [](const std::vector<int64_t>& shape, uint32_t type = 0) {
    return GgufBuilder().Tensor("t", shape, type, std::string(64, 'x')).Build();
  };
  ExpectError(with_shape({1, 1, 1, 1, 1}), "has 5 dimensions; at most 4");
  ExpectError(with_shape({0}), "has a dimension of 0");
  ExpectError(with_shape({-4}), "has a dimension of -4");
  ExpectError(with_shape({int64_t{1} << 32, int64_t{1} << 32}), "more than 2^63 values");
  ExpectError(with_shape({int64_t{1} << 62}), "more than 2^63 bytes");
  ExpectError(with_shape({int64_t{1} << 40}), "beyond the file's");
  ExpectError(with_shape({2, 31}, 2),
              "rows of 31 values, not a multiple of the 32 in a block of q4_0");
  ExpectError(with_shape({256, 32}, 12), "not a multiple of the 256 in a block of q4_k");
}

TEST(GgufHeader, RefusesUnknownTypesAndListsThoseItCannotCompute) {
  for (const uint32_t type : {4u, 5u, 31u, 38u, 43u, 99u, 0x80000000u}) {
    ExpectError(GgufBuilder().Tensor("t", {32}, type, std::string(64, 'x')).Build(),
                "which GGUF does not define; supported are f32, f16, bf16, q4_0");
  }
  const absl::StatusOr<GgufHeader> header =
      Parse(GgufBuilder().Tensor("t", {256}, 16, std::string(66, 'x')).Build());
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->tensors[0].type->name, "iq2_xxs");
}

TEST(GgufHeader, RefusesBadPlaces) {
  const std::string data(32, 'x');
  const auto two = [&](uint64_t first, uint64_t second) {
    return GgufBuilder()
        .TensorAt("a", {8}, 0, data, first)
        .TensorAt("b", {8}, 0, data, second)
        .Build();
  };
  ASSERT_TRUE(Parse(two(0, 32)).ok());
  ExpectError(two(0, 0), "tensor \"b\" overlaps the one before it");
  ExpectError(two(0, 16), "tensor \"b\" is not aligned");
  ExpectError(two(0, 64), "tensor \"b\" leaves a gap");
  ExpectError(two(32, 64), "tensor \"a\" leaves a gap");
  ExpectError(two(0, ~uint64_t{31}), "tensor \"b\" leaves a gap");
  ExpectError(GgufBuilder().Tensor("a", {64}, 0, data).Build(), "tensor \"a\" ends at byte");
}

TEST(GgufHeader, RefusesBadNames) {
  const std::string data(4, 'x');
  ExpectError(GgufBuilder().Tensor("a", {1}, 0, data).Tensor("a", {1}, 0, data).Build(),
              "tensor \"a\" is there twice");
  ExpectError(GgufBuilder().Tensor("", {1}, 0, data).Build(), "a name of 0 bytes");
  ExpectError(GgufBuilder().Tensor(std::string(64, 'n'), {1}, 0, data).Build(), "a name of 64");
  EXPECT_TRUE(Parse(GgufBuilder().Tensor(std::string(63, 'n'), {1}, 0, data).Build()).ok());
  // Control characters don't reach the terminal.
  ExpectError(GgufBuilder().U32("a\n\x1b[2J", 1).U32("a\n\x1b[2J", 2).Build(), "is there twice");
}

}  // namespace
}  // namespace potluck::model
