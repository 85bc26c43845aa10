// Inverted dropout; the mask is drawn anew from Philox wherever it is needed. A thread takes one block of four
// words.
#include "../philox.h"
#include "cuda.h"

namespace pyconv::cuda {

namespace {

struct Dropout {
  DropoutShape s;
  const uint32_t* rng;
  const float* x;
  float* y;
  uint32_t threshold;  // philox_uniform(word) >= rate, in integers
  float scale;

  PYCONV_DEVICE void operator()(int64_t block) const {
    const PhiloxBlock words = philox(rng, s.purpose, static_cast<uint32_t>(block));
    for (int k = 0; k < 4; ++k) {
      const int64_t i = 4 * block + k;
      if (i >= s.size) return;
      const float v = x[i];
      y[i] = words.word[k] >> 8 >= threshold ? v * scale : v != v ? v : 0;
    }
  }
};

}  // namespace

Status dropout(const Context& context, const DropoutShape& s, const uint32_t* rng, const float* x, float* y) {
  const auto threshold = static_cast<uint32_t>(std::ceil(s.rate * 0x1p24f));
  return for_each(context, ceil_div(s.size, 4), Dropout{s, rng, x, y, threshold, 1 / (1 - s.rate)});
}

}  // namespace pyconv::cuda
