// Vectors of floats, as wide as a register of the instruction set that this file is compiled for: 16 bytes (the
// x86 baseline, NEON), 32 (AVX2) or 64 (AVX-512). A Vec adds, multiplies and compares like a number, all lanes at
// once: GCC and Clang make instructions of it (their vector extensions). No other file knows how wide registers
// are, or calls intrinsics, so that each kernel is written once for all instruction sets.
//
//   Vec        whole registers, for kernels that run over padded or long channels: load, store, broadcast
//   Lanes<n>   n lanes, and for_lanes, for loops whose end no register fits: whole vectors, fours, then single
//   values
#pragma once

#include <cstdint>

#if defined(__SSE4_1__)
#include <immintrin.h>
#endif

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
#elif defined(__aarch64__)
constexpr int kVecBytes = 16;
constexpr int kVecRegisters = 32;
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

// Stores past the caches, where a register is a whole cache line: what does not fit them anyway then pushes
// nothing else out of them. p is aligned to kVecBytes.
PYCONV_INLINE void stream(float* p, Vec v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(p, (__m512)v);
#else
  store(p, v);
#endif
}
constexpr bool kStreams = kVecBytes == 64;
PYCONV_INLINE void end_streams() {  // before other threads read
#if defined(__AVX512F__)
  _mm_sfence();
#endif
}

// The same v, but the compiler forgets how it was computed. Where two sums use one product, it would otherwise
// compute the product twice, merged into each sum as a multiply-add.
PYCONV_INLINE Vec opaque(Vec v) {
#if defined(__x86_64__)
  asm("" : "+v"(v));
#elif defined(__aarch64__)
  asm("" : "+w"(v));
#endif
  return v;
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

// Half as many doubles: lane i of v plus the lane half a vector further, both widened before they are added.
PYCONV_INLINE VecDouble add_halves(Vec v) {
  VecDouble sum;
  PYCONV_UNROLL
  for (int i = 0; i < kVecFloats / 2; ++i) sum[i] = double{v[i]} + v[i + kVecFloats / 2];
  return sum;
}

PYCONV_INLINE Vec sqrt(Vec v) {
  PYCONV_UNROLL
  for (int i = 0; i < kVecFloats; ++i) v[i] = __builtin_sqrtf(v[i]);
  return v;
}

// A comparison with NaN is false, so that NaN passes.
PYCONV_INLINE Vec relu(Vec v) {
  return v < Vec{} ? Vec{} : v;
}

// ---- n lanes of each type: a body that takes its type as an argument is written once for whole vectors, short
// ones and single values.
template <int n>
struct Lanes {
  static constexpr int kCount = n;
  typedef float Float __attribute__((vector_size(4 * n)));
  typedef int32_t Int __attribute__((vector_size(4 * n)));
  typedef uint8_t Byte __attribute__((vector_size(n)));
};
template <>
struct Lanes<1> {
  static constexpr int kCount = 1;
  using Float = float;
  using Int = int32_t;
  using Byte = uint8_t;
};

template <class V, class T>
PYCONV_INLINE V load_as(const T* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof(V));
  return v;
}
template <class V, class T>
PYCONV_INLINE void store_as(T* p, V v) {
  __builtin_memcpy(p, &v, sizeof(V));
}

// kCount bytes (or integers) as integers, and back. GCC 12 widens a vector of bytes lane by lane, hence the
// intrinsics.
template <class L>
PYCONV_INLINE typename L::Int load_int(const int32_t* p) {
  return load_as<typename L::Int>(p);
}
template <class L>
PYCONV_INLINE typename L::Int load_int(const uint8_t* p) {
  if constexpr (L::kCount == 1) {
    return *p;
#if defined(__SSE4_1__)
  } else if constexpr (L::kCount == 4) {
    return (typename L::Int)_mm_cvtepu8_epi32(_mm_cvtsi32_si128(load_as<int32_t>(p)));
#if defined(__AVX512F__)
  } else if constexpr (L::kCount == 16) {
    // The masked form: GCC 12 warns of an uninitialised value inside the plain one.
    return (typename L::Int)_mm512_maskz_cvtepu8_epi32(0xFFFF, load_as<__m128i>(p));
#elif defined(__AVX2__)
  } else if constexpr (L::kCount == 8) {
    return (typename L::Int)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
#endif
#endif
  } else {
    return __builtin_convertvector(load_as<typename L::Byte>(p), typename L::Int);
  }
}
template <class L>
PYCONV_INLINE void store_int(int32_t* p, typename L::Int v) {
  store_as(p, v);
}
template <class L>
PYCONV_INLINE void store_int(uint8_t* p, typename L::Int v) {
  if constexpr (L::kCount == 1) {
    *p = static_cast<uint8_t>(v);
#if defined(__SSE4_1__)
  } else if constexpr (L::kCount == 4) {
    const __m128i first_bytes = _mm_set1_epi32(0x0C080400);
    store_as(p, _mm_cvtsi128_si32(_mm_shuffle_epi8((__m128i)v, first_bytes)));
#if defined(__AVX2__) && !defined(__AVX512F__)
  } else if constexpr (L::kCount == 8) {
    const __m128i low = _mm256_castsi256_si128((__m256i)v), high = _mm256_extracti128_si256((__m256i)v, 1);
    const __m128i words = _mm_packus_epi32(low, high);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
#endif
#endif
  } else {
    store_as(p, __builtin_convertvector(v, typename L::Byte));
  }
}

// Values as floats, from floats or bytes.
template <class L>
PYCONV_INLINE typename L::Float load_float(const float* p) {
  return load_as<typename L::Float>(p);
}
template <class L>
PYCONV_INLINE typename L::Float load_float(const uint8_t* p) {
  if constexpr (L::kCount == 1)
    return static_cast<float>(*p);
  else
    return __builtin_convertvector(load_int<L>(p), typename L::Float);
}

// Calls body(Lanes<n>{}, i) along [begin, end): whole vectors, then runs of 4, then scalars.
template <class Body>
PYCONV_INLINE void for_lanes(int64_t begin, int64_t end, const Body& body) {
  int64_t i = begin;
  for (; i + kVecFloats <= end; i += kVecFloats) body(Lanes<kVecFloats>{}, i);
  if constexpr (kVecFloats > 4)
    for (; i + 4 <= end; i += 4) body(Lanes<4>{}, i);
  for (; i < end; ++i) body(Lanes<1>{}, i);
}
#define PYCONV_LANES_BODY __attribute__((always_inline))

// How many floats it takes until coefficients, one a channel, repeat at the start of a register: a loop over
// pixels of C channels then finds them as whole vectors. Enough for several registers where channels are few, C
// itself where they are many.
constexpr int64_t kNarrowChannels = 64;
constexpr int64_t kMaxPeriod = kNarrowChannels * kVecFloats;  // of few channels
PYCONV_INLINE int64_t channel_period(int64_t C) {
  int64_t period = C > 1 ? C : 1;
  if (C <= kNarrowChannels)
    while (period % kVecFloats || period < 4 * kVecFloats) period *= 2;
  return period;
}

}  // namespace
}  // namespace pyconv::cpu::PYCONV_CPU_ISA
