// dy of a convolution, made from what follows it (Conv2dGradient), for a few channels of a pixel at a time.
#pragma once

#include "cuda.h"

namespace pyconv::cuda {
namespace {

// Whether dy has to be made: else it is d.
PYCONV_PORTABLE bool is_made(const Conv2dGradient& g) {
  return g.argmax || g.y;
}

// Channels [c, c + kWidth) of a pixel of the output; with pooling, `window` is the window's number and `tap` the
// pixel's place in it.
template <int kWidth>
PYCONV_DEVICE Pack<kWidth> gradient_at(const Conv2dGradient& g, int64_t C, int64_t pixel, int64_t window, int tap,
                                       int64_t c) {
  Pack<kWidth> d = load<kWidth>(g.d + (g.argmax ? window : pixel) * C + c);
  if (g.argmax) {
    const auto from = load<kWidth>(g.argmax + window * C + c);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) d.v[e] = from.v[e] == tap ? d.v[e] : 0;
  }
  if (!g.y) return d;
  const Pack<kWidth> y = load<kWidth>(g.y + pixel * C + c);
  if (g.normalization.relu) {
    const auto scale = load<kWidth>(g.normalization.scale + c), shift = load<kWidth>(g.normalization.shift + c);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) d.v[e] = masked_by_relu(d.v[e], y.v[e], scale.v[e], shift.v[e], 0.0f);
  }
  if (g.coefficients) {
    const auto scale = load<kWidth>(g.coefficients + c), slope = load<kWidth>(g.coefficients + C + c);
    const auto constant = load<kWidth>(g.coefficients + 2 * C + c);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) d.v[e] = scale.v[e] * d.v[e] + slope.v[e] * y.v[e] + constant.v[e];
  }
  if (g.relu) {
#pragma unroll
    for (int e = 0; e < kWidth; ++e) d.v[e] = y.v[e] <= 0 ? 0 : d.v[e];
  }
  return d;
}

// Whether gradient_at<4> can be asked.
inline bool is_aligned(const Conv2dGradient& g) {
  const ScaleShift& n = g.normalization;
  return is_aligned(g.d) && is_aligned(g.argmax) && is_aligned(g.y) && is_aligned(g.coefficients) &&
         (!n.relu || (is_aligned(n.scale) && is_aligned(n.shift)));
}

}  // namespace
}  // namespace pyconv::cuda
