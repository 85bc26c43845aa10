// What softmax and softmax_cross_entropy share: the largest of a row, and its exponentials with their sum.
#pragma once

#include "cpu.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {
namespace {

// e^x within 1 ulp: x = n ln 2 + r, |r| <= ln(2) / 2, a minimax polynomial for e^r, and 2^n in two factors,
// so that the result may be subnormal. Our own, so that the bits do not depend on the C library's version.
PYCONV_INLINE Vec exp(Vec x) {
  x = x < -104.0f ? broadcast(-104.0f) : x;  // below it e^x rounds to 0
  x = x > 89.0f ? broadcast(89.0f) : x;      // above it, to infinity
  const Vec magic = broadcast(0x1.8p23f);    // adding it rounds to an integer, left in the low bits
  const Vec shifted = x * 0x1.715476p0f + magic;
  const Vec n = shifted - magic;
  const Vec r = (x - n * 0x1.62ep-1f) - n * 0x1.0bfbe8p-15f;
  const Vec p =
      0x1.fffffcp-2f + r * (0x1.55549p-3f + r * (0x1.5558f8p-5f + r * (0x1.123b04p-7f + r * 0x1.6a2256p-10f)));
  const Vec e = 1.0f + (r + r * r * p);
  const VecInt exponent = (VecInt)shifted - (VecInt)magic, half = exponent >> 1;
  return e * (Vec)((half + 127) << 23) * (Vec)((exponent - half + 127) << 23);
}

// NaN is passed over.
PYCONV_INLINE float row_max(int64_t K, const float* x) {
  Vec largest = broadcast(-__builtin_inff());
  int64_t k = 0;
  for (; k + kVecFloats <= K; k += kVecFloats) {
    const Vec v = load(x + k);
    largest = v > largest ? v : largest;
  }
  float result = largest[0];
  for (int i = 1; i < kVecFloats; ++i) result = largest[i] > result ? largest[i] : result;
  for (; k < K; ++k) result = x[k] > result ? x[k] : result;
  return result;
}

// e[k] = exp(x[k] - shift) unless e is null (x is fine); returns their sum, in double: in a confident row the
// largest is 1 and the others, next to nothing, are what the loss consists of.
PYCONV_INLINE double exp_row(int64_t K, const float* x, float shift, float* e) {
  VecDouble total{};
  int64_t k = 0;
  for (; k + kVecFloats <= K; k += kVecFloats) {
    const Vec v = exp(load(x + k) - shift);
    if (e) store(e + k, v);
    total += add_halves(v);
  }
  double sum = 0;
  for (int i = 0; i < kVecFloats / 2; ++i) sum += total[i];
  if (const int64_t n = K - k; n > 0) {
    const Vec v = exp(load_part(x + k, n) - shift);
    if (e) store_part(e + k, v, n);
    for (int64_t i = 0; i < n; ++i) sum += v[i];
  }
  return sum;
}

// Chunks of whole rows. An exponential costs several times what a copy does.
PYCONV_INLINE int64_t class_chunks(const ClassShape& s) {
  return elementwise_chunks(s.N * s.K, 4096);
}

}  // namespace
}  // namespace pyconv::cpu::PYCONV_CPU_ISA
