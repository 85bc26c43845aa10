// Dropout (Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", 2014),
// inverted: the kept elements are scaled at training time. The mask is drawn anew from Philox wherever it is
// needed and never stored. One chunk is a run of whole batches of Philox blocks.
#include "../philox.h"
#include "cpu.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {

namespace {

constexpr int kBlocks = 16;  // Philox blocks drawn at once: independent lanes, which the compiler vectorises
constexpr int kElements = 4 * kBlocks;

PYCONV_INLINE void draw(const uint32_t* rng, uint32_t purpose, uint32_t first, int32_t* uniform24) {
  for (uint32_t b = 0; b < kBlocks; ++b) {
    const PhiloxBlock block = philox(rng, purpose, first + b);
    for (int k = 0; k < 4; ++k) uniform24[4 * b + k] = static_cast<int32_t>(block.word[k] >> 8);
  }
}

// A dropped NaN stays one.
PYCONV_INLINE float drop(float x, bool keep, float scale) {
  return keep ? x * scale : x != x ? x : 0.0f;
}

}  // namespace

Status dropout(const Context&, const DropoutShape& s, const uint32_t* rng, const float* x, float* y) {
  const uint32_t state[4] = {rng[0], rng[1], rng[2], rng[3]};
  // philox_uniform(word) >= rate, in integers: word >> 8 at least rate * 2^24, rounded up.
  const int32_t threshold = static_cast<int32_t>(__builtin_ceilf(s.rate * 0x1p24f));
  const float scale = 1.0f / (1.0f - s.rate);
  const int64_t chunks = elementwise_chunks(s.size);
  parallel(chunks, [=, &state](int64_t chunk) {
    const Range r = chunk_range(s.size, chunks, chunk, kElements);
    for (int64_t i = r.begin; i < r.end; i += kElements) {
      alignas(64) int32_t uniform24[kElements];
      draw(state, s.purpose, static_cast<uint32_t>(i / 4), uniform24);
      const int64_t n = min(kElements, r.end - i);
      if (n == kElements)
        for (int k = 0; k < kElements; ++k) y[i + k] = drop(x[i + k], uniform24[k] >= threshold, scale);
      else
        for (int k = 0; k < n; ++k) y[i + k] = drop(x[i + k], uniform24[k] >= threshold, scale);
    }
  });
  return kOk;
}

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
