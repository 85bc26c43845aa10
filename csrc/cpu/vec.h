// The only file that knows vector registers: GCC/Clang vector extensions, as wide as the instruction set
// this translation unit is compiled for. NEON's is 16 bytes, like the x86 baseline's.
#pragma once

#include <cstdint>

#define PYCONV_INLINE __attribute__((always_inline)) static inline
#define PYCONV_INLINE_MEMBER __attribute__((always_inline)) inline
#define PYCONV_UNROLL _Pragma("GCC unroll 32")

namespace pyconv::cpu::PYCONV_CPU_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kVecBytes = 64;
constexpr int kVecRegisters = 32;
#elif defined(__AVX2__)
constexpr int kVecBytes = 32;
constexpr int kVecRegisters = 16;
#else
constexpr int kVecBytes = 16;
constexpr int kVecRegisters = 16;
#endif
constexpr int kVecFloats = kVecBytes / 4;

typedef float Vec __attribute__((vector_size(kVecBytes)));
typedef int32_t VecInt __attribute__((vector_size(kVecBytes)));
typedef double VecDouble __attribute__((vector_size(kVecBytes)));
typedef float VecUnaligned __attribute__((vector_size(kVecBytes), aligned(4), may_alias));

PYCONV_INLINE Vec load(const float* p) {
  return *reinterpret_cast<const VecUnaligned*>(p);
}
PYCONV_INLINE void store(float* p, Vec v) {
  *reinterpret_cast<VecUnaligned*>(p) = v;
}
PYCONV_INLINE Vec broadcast(float s) {
  return s - Vec{};
}

// The first n lanes; the rest are 0 on load and untouched on store. 0 <= n <= kVecFloats.
PYCONV_INLINE Vec load_part(const float* p, int64_t n) {
  Vec v{};
  for (int64_t i = 0; i < n; ++i) v[i] = p[i];
  return v;
}
PYCONV_INLINE void store_part(float* p, Vec v, int64_t n) {
  for (int64_t i = 0; i < n; ++i) p[i] = v[i];
}

// kVecFloats / 2 floats, widened.
PYCONV_INLINE VecDouble load_double(const float* p) {
  VecDouble v;
  PYCONV_UNROLL
  for (int i = 0; i < kVecFloats / 2; ++i) v[i] = p[i];
  return v;
}

PYCONV_INLINE Vec sqrt(Vec v) {
  PYCONV_UNROLL
  for (int i = 0; i < kVecFloats; ++i) v[i] = __builtin_sqrtf(v[i]);
  return v;
}

// NaN in a passes; in relu's case max(NaN, 0) is NaN.
PYCONV_INLINE Vec relu(Vec v) {
  return v < Vec{} ? Vec{} : v;
}

}  // namespace
}  // namespace pyconv::cpu::PYCONV_CPU_ISA
