// What max and average pooling share: which taps of a window lie inside the input, and which windows see a pixel.
#pragma once

#include "cuda.h"

namespace pyconv::cuda {
namespace {

struct Range {
  int64_t begin, end;
};

// The taps k of a kernel for which start + k * dilation is in [0, size); empty where begin >= end.
PYCONV_DEVICE Range taps_inside(int64_t start, int64_t size, int64_t kernel, int64_t dilation) {
  return {start < 0 ? (-start + dilation - 1) / dilation : 0,
          start < size ? minimum(kernel, (size - start + dilation - 1) / dilation) : 0};
}

// Sums term(oh, ow, output element, tap) over the windows that see input element i, in order.
template <class Term>
PYCONV_DEVICE float gather_windows(const Pool2dShape& s, int64_t i, const Term& term) {
  const Element at(i, s.H, s.W, s.C);
  const int64_t row = at.h + s.pad_top, column = at.w + s.pad_left;
  const auto first = [](int64_t place, int64_t kernel, int64_t stride, int64_t dilation) {
    const int64_t before = place - dilation * (kernel - 1);
    return before > 0 ? (before + stride - 1) / stride : 0;
  };
  float sum = 0;
  const int64_t last_h = minimum(s.OH - 1, row / s.stride_h), last_w = minimum(s.OW - 1, column / s.stride_w);
  for (int64_t oh = first(row, s.KH, s.stride_h, s.dilation_h); oh <= last_h; ++oh) {
    const int64_t down = row - oh * s.stride_h;
    if (down % s.dilation_h) continue;
    for (int64_t ow = first(column, s.KW, s.stride_w, s.dilation_w); ow <= last_w; ++ow) {
      const int64_t right = column - ow * s.stride_w;
      if (right % s.dilation_w) continue;
      const int64_t output = ((at.n * s.OH + oh) * s.OW + ow) * s.C + at.c;
      sum += term(oh, ow, output, down / s.dilation_h * s.KW + right / s.dilation_w);
    }
  }
  return sum;
}

}  // namespace
}  // namespace pyconv::cuda
