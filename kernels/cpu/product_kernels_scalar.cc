// Products in plain C++ for any CPU: loops over 16 outputs, which compilers turn into whatever
// vectors the baseline has.
#include <stdint.h>
#include <string.h>

#include "kernels/cpu/product_kernels.h"
#include "kernels/formats/floats.h"

namespace potluck::kernels {
namespace {

constexpr int kLanes = kPanelRows;
constexpr int kMaxTokens = 2;
constexpr bool kUnsignedCodes = false;
constexpr int MaxSteps(int) { return 8; }

template <typename Number, int kCount>
struct Array {
  Number at[kCount];
};
using Bytes = Array<int8_t, 4 * kLanes>;
using Ints = Array<int32_t, kLanes>;
using Floats = Array<float, kLanes>;
using Partial = Ints;
using Scale = Ints;
struct Pair {
  Ints first, second;
};

inline Bytes LoadBytes(const uint8_t* p) {
  Bytes b;
  memcpy(b.at, p, sizeof(b.at));
  return b;
}
inline Bytes Or(Bytes a, const Bytes& b) {
  for (int i = 0; i < 4 * kLanes; ++i) a.at[i] |= b.at[i];
  return a;
}

// Bits [from, from + count) of every byte, moved to bit `to`.
template <int from, int count, int to>
inline Bytes Bits(Bytes b) {
  for (int i = 0; i < 4 * kLanes; ++i) {
    b.at[i] = (int8_t)((((uint8_t)b.at[i] >> from) & ((1 << count) - 1)) << to);
  }
  return b;
}

inline Bytes Lookup(Bytes b, const int8_t* table) {
  for (int i = 0; i < 4 * kLanes; ++i) b.at[i] = table[b.at[i]];
  return b;
}

inline Bytes WideCodes(const Bytes& b) { return b; }

inline Ints ZeroInts() { return {}; }

inline Partial ZeroPartial() { return {}; }

// All codes fit in signed bytes, those that count from 0 too.
template <bool is_signed>
inline Partial Step(Partial partial, const Bytes& codes, const int8_t* x) {
  for (int r = 0; r < kLanes; ++r) {
    const int8_t* c = codes.at + 4 * r;
    partial.at[r] += c[0] * x[0] + c[1] * x[1] + c[2] * x[2] + c[3] * x[3];
  }
  return partial;
}

inline Ints Flush(Ints ints, const Partial& partial) {
  for (int r = 0; r < kLanes; ++r) ints.at[r] += partial.at[r];
  return ints;
}
inline Ints FlushScaled(Ints ints, const Partial& partial, const Scale& scale) {
  for (int r = 0; r < kLanes; ++r) ints.at[r] += partial.at[r] * scale.at[r];
  return ints;
}

template <bool packed>
inline Scale LoadScale(const uint8_t* p) {
  Scale scale;
  for (int r = 0; r < kLanes; ++r) scale.at[r] = packed ? p[r] & 15 : (int8_t)p[r];
  return scale;
}

template <int mask, int shift>
inline Pair LoadPair(const uint8_t* p) {
  Pair pair;
  for (int r = 0; r < kLanes; ++r) {
    pair.first.at[r] = (int8_t)((p[r] >> shift) & mask);
    pair.second.at[r] = (int8_t)((p[r + kPanelRows] >> shift) & mask);
  }
  return pair;
}

inline Ints PairDot(Ints ints, const Pair& pair, const int16_t* two_sums) {
  for (int r = 0; r < kLanes; ++r) {
    ints.at[r] += pair.first.at[r] * two_sums[0] + pair.second.at[r] * two_sums[1];
  }
  return ints;
}

template <int shift>
inline Ints SubtractShifted(Ints a, const Ints& b) {
  for (int r = 0; r < kLanes; ++r) a.at[r] -= b.at[r] * (1 << shift);
  return a;
}
inline Ints BroadcastInt(const int32_t* p) {
  Ints ints;
  for (int r = 0; r < kLanes; ++r) ints.at[r] = *p;
  return ints;
}
template <int shift>
inline Ints SubtractSum(Ints ints, const int32_t* sum) {
  return SubtractShifted<shift>(ints, BroadcastInt(sum));
}

inline Floats ToFloats(const Ints& ints) {
  Floats floats;
  for (int r = 0; r < kLanes; ++r) floats.at[r] = (float)ints.at[r];
  return floats;
}
inline Floats ZeroFloats() { return {}; }
inline Floats LoadFloats(const uint8_t* p) {
  Floats floats;
  memcpy(floats.at, p, sizeof(floats.at));
  return floats;
}
inline Floats LoadHalf(const uint8_t* p) {
  uint16_t halves[kLanes];
  memcpy(halves, p, sizeof(halves));
  Floats floats;
  for (int r = 0; r < kLanes; ++r) floats.at[r] = FloatFromHalf(halves[r]);
  return floats;
}
inline Floats LoadBrain(const uint8_t* p) {
  uint16_t brains[kLanes];
  memcpy(brains, p, sizeof(brains));
  Floats floats;
  for (int r = 0; r < kLanes; ++r) floats.at[r] = FloatFromBrain(brains[r]);
  return floats;
}
inline Floats Broadcast(const float* p) {
  Floats floats;
  for (int r = 0; r < kLanes; ++r) floats.at[r] = *p;
  return floats;
}
inline Floats Multiply(Floats a, const Floats& b) {
  for (int r = 0; r < kLanes; ++r) a.at[r] *= b.at[r];
  return a;
}
inline Floats MultiplyAdd(const Floats& a, const Floats& b, Floats c) {
  for (int r = 0; r < kLanes; ++r) c.at[r] = __builtin_fmaf(a.at[r], b.at[r], c.at[r]);
  return c;
}
inline void StoreFloats(float* p, const Floats& floats) { memcpy(p, floats.at, sizeof(floats.at)); }

#define POTLUCK_UNROLL
#include "kernels/cpu/product_kernels_body.inc"

}  // namespace

const ProductKernels ProductKernels_cpu_scalar = POTLUCK_PRODUCT_KERNELS;

}  // namespace potluck::kernels
