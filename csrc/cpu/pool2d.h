// What max and average pooling share: which taps of a window lie inside the input, and the gradient's walk.
#pragma once

#include "cpu.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {
namespace {

// The taps k of a kernel for which start + k * dilation is in [0, size); empty where begin >= end.
PYCONV_INLINE Range taps_inside(int64_t start, int64_t size, int64_t kernel, int64_t dilation) {
  if (start >= 0 && start + (kernel - 1) * dilation < size) return {0, kernel};
  return {start < 0 ? ceil_div(-start, dilation) : 0,
          start < size ? min(kernel, ceil_div(size - start, dilation)) : 0};
}

PYCONV_INLINE void fill_zero(float* p, int64_t count) {
  if (count > 0) __builtin_memset(p, 0, static_cast<size_t>(count) * sizeof(float));
}

// The best of values visited in order: the largest where `sign` is positive, the smallest where it is negative, the
// first where it is 0; the first of equals stays. A NaN beats every number, and nothing beats a NaN.
template <class L>
struct SignedBest {
  typename L::Float sign, value, key;
  typename L::Int offset;

  PYCONV_INLINE_MEMBER SignedBest(typename L::Float sign_, typename L::Float v, typename L::Int k)
      : sign(sign_), value(v), key(sign_ * v), offset(k) {}
  PYCONV_INLINE_MEMBER void visit(typename L::Float v, typename L::Int k) {
    const typename L::Float v_key = sign * v;
    const auto better = ((v_key <= key) == 0) & (key == key);
    value = better ? v : value;
    key = better ? v_key : key;
    offset = better ? k : offset;
  }
};

// Adds (or writes) what output (oh, ow) gives to the taps (kh, kw) of one input row.
template <bool kAdd, class Term>
PYCONV_INLINE void spread(const Term& term, int64_t C, int64_t oh, int64_t ow, int64_t output, int64_t first_tap,
                          Range kw, int64_t step, float* dx) {
  for_lanes(0, C, [&](auto lanes, int64_t c) PYCONV_LANES_BODY {
    using Float = typename decltype(lanes)::Float;
    const auto gradient = term(lanes, oh, ow, output + c);
    for (int64_t k = kw.begin; k < kw.end; ++k) {
      float* p = dx + k * step + c;
      const Float g = gradient(static_cast<int32_t>(first_tap + k));
      store_as(p, kAdd ? load_as<Float>(p) + g : g);
    }
  });
}

template <bool kOverlap, class Term>
PYCONV_INLINE void pool2d_backward_row(const Pool2dShape& s, int64_t n, int64_t h, const Term& term, float* dx) {
  if (kOverlap) fill_zero(dx, s.W * s.C);
  int64_t written = kOverlap ? s.W : 0;  // columns; between windows that do not overlap there may be gaps
  const int64_t row = h + s.pad_top;
  const int64_t first = ceil_div(max(0, row - s.dilation_h * (s.KH - 1)), s.stride_h);
  const int64_t last = min(s.OH - 1, row / s.stride_h);
  for (int64_t oh = first; oh <= last; ++oh) {
    const int64_t offset = row - oh * s.stride_h;
    if (offset % s.dilation_h) continue;
    const int64_t first_tap = offset / s.dilation_h * s.KW;
    for (int64_t ow = 0; ow < s.OW; ++ow) {
      const int64_t w = ow * s.stride_w - s.pad_left, step = s.dilation_w * s.C;
      const Range kw = taps_inside(w, s.W, s.KW, s.dilation_w);
      if (kw.begin >= kw.end) continue;
      if (!kOverlap) {
        fill_zero(dx + written * s.C, (w + kw.begin - written) * s.C);
        written = w + kw.end;
      }
      const int64_t output = ((n * s.OH + oh) * s.OW + ow) * s.C;
      if (!kOverlap && kw.end - kw.begin == 2 && s.KW == 2)
        spread<false>(term, s.C, oh, ow, output, first_tap, {0, 2}, s.C, dx + w * s.C);
      else
        spread<kOverlap>(term, s.C, oh, ow, output, first_tap, kw, step, dx + w * s.C);
    }
  }
  fill_zero(dx + written * s.C, (s.W - written) * s.C);
}

// The gradient of pooling, gathered: one chunk owns a run of input rows, and a row takes its terms from the
// windows that cover it, in order. Windows that do not overlap write it once; else it is zeroed and added to
// while it is in the cache. term(lanes, oh, ow, i) is a function k -> what output element i gives to tap k.
template <class Term>
PYCONV_INLINE void pool2d_backward(const Pool2dShape& shape, float* dx, const Term& term) {
  const int64_t rows = shape.N * shape.H;
  const int64_t chunks = min(rows, elementwise_chunks(rows * shape.W * shape.C));
  parallel(chunks, [&](int64_t chunk) {
    const Pool2dShape s = shape;  // a copy that no store can alias
    const Term local = term;
    const bool overlap = s.dilation_w > 1 || s.stride_w < s.KW || s.stride_h < s.dilation_h * (s.KH - 1) + 1;
    const Range r = chunk_range(rows, chunks, chunk);
    for (int64_t row = r.begin; row < r.end; ++row) {
      float* line = dx + row * s.W * s.C;
      if (overlap)
        pool2d_backward_row<true>(s, row / s.H, row % s.H, local, line);
      else
        pool2d_backward_row<false>(s, row / s.H, row % s.H, local, line);
    }
  });
}

}  // namespace
}  // namespace pyconv::cpu::PYCONV_CPU_ISA
