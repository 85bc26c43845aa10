// Max pooling that does not wait for the batch normalisation before it: only the sign of its gamma decides whether
// the largest or the smallest of four values is the largest once they are normalised.
#pragma once

#include "cuda.h"

namespace pyconv::cuda {
namespace {

// Which of 2x2 values comes out of a pooling of sign * value: the first of the largest, or a NaN.
struct Pooled {
  float value;
  int tap;
  PYCONV_DEVICE Pooled(float sign, const float (&values)[4]) : value(values[0]), tap(0) {
    float best = sign * values[0];
#pragma unroll
    for (int i = 1; i < 4; ++i) {
      const float v = sign * values[i];
      if (!(v <= best) && best == best) best = v, value = values[i], tap = i;
    }
  }
  // 1, -1, 0; a NaN stays.
  static PYCONV_DEVICE float sign_of(float gamma) { return gamma > 0 ? 1.0f : gamma < 0 ? -1.0f : gamma; }
};

}  // namespace
}  // namespace pyconv::cuda
