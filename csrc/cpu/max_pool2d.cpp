// Max pooling: one chunk is a run of output rows; a window's best values and their offsets stay in registers,
// for as many channels as a register holds. The gradient is gathered (pool2d.h).
#include "pool2d.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {

namespace {

// A window's best value and its offset: the largest, or, with kSigned, what SignedBest takes for a gamma.
template <class L, bool kSigned>
struct Best {
  typename L::Float value;
  typename L::Int offset;

  PYCONV_INLINE_MEMBER Best(typename L::Float v, typename L::Int k, const float*) : value(v), offset(k) {}
  // The first of equals stays. A NaN beats every number, and nothing beats a NaN.
  PYCONV_INLINE_MEMBER void visit(typename L::Float v, typename L::Int k) {
    const auto better = ((v <= value) == 0) & (value == value);
    value = better ? v : value;
    offset = better ? k : offset;
  }
};
template <class L>
struct Best<L, true> : SignedBest<L> {
  PYCONV_INLINE_MEMBER Best(typename L::Float v, typename L::Int k, const float* sign)
      : SignedBest<L>(load_float<L>(sign), v, k) {}
};

template <class B, class Index>
PYCONV_INLINE void write_best(const B& best, float* y, Index* argmax, int64_t i) {
  store_as(y + i, best.value);
  if (argmax) store_int<Lanes<sizeof(best.value) / 4>>(argmax + i, best.offset);
}

template <bool kSigned, class Index>
PYCONV_INLINE void max_pool2d_row_2x2(const Pool2dShape& s, const float* x, const float* sign, float* y,
                                      Index* argmax) {
  const float* below = x + s.W * s.C;
  for (int64_t ow = 0; ow < s.OW; ++ow)
    for_lanes(0, s.C, [&](auto lanes, int64_t c) PYCONV_LANES_BODY {
      using L = decltype(lanes);
      const int64_t left = 2 * ow * s.C + c, right = left + s.C;
      Best<L, kSigned> best(load_float<L>(x + left), typename L::Int{}, sign + c);
      best.visit(load_float<L>(x + right), typename L::Int{} + 1);
      best.visit(load_float<L>(below + left), typename L::Int{} + 2);
      best.visit(load_float<L>(below + right), typename L::Int{} + 3);
      write_best(best, y, argmax, ow * s.C + c);
    });
}

template <class Index>
PYCONV_INLINE void max_pool2d_row(const Pool2dShape& s, int64_t h, const float* x, float* y, Index* argmax) {
  const Range kh = taps_inside(h, s.H, s.KH, s.dilation_h);
  for (int64_t ow = 0; ow < s.OW; ++ow) {
    const int64_t w = ow * s.stride_w - s.pad_left;
    const Range kw = taps_inside(w, s.W, s.KW, s.dilation_w);
    const bool any = kh.begin < kh.end && kw.begin < kw.end;
    const int64_t first = any ? kh.begin * s.KW + kw.begin : 0;
    for_lanes(0, s.C, [&](auto lanes, int64_t c) PYCONV_LANES_BODY {
      using L = decltype(lanes);
      auto tap = typename L::Int{} + static_cast<int32_t>(first);
      Best<L, false> best(typename L::Float{} - __builtin_inff(), tap, nullptr);
      for (int64_t i = kh.begin; i < kh.end; ++i, tap += static_cast<int32_t>(s.KW - (kw.end - kw.begin)))
        for (int64_t j = kw.begin; j < kw.end; ++j, tap += 1) {
          const int64_t pixel = (h + i * s.dilation_h) * s.W + w + j * s.dilation_w;
          best.visit(load_float<L>(x + pixel * s.C + c), tap);
        }
      write_best(best, y, argmax, ow * s.C + c);
    });
  }
}

template <bool kSigned, class Index>
void max_pool2d_as(const Pool2dShape& shape, const float* x, const float* sign, float* y, Index* argmax) {
  const int64_t rows = shape.N * shape.OH, row_size = shape.OW * shape.C;
  const int64_t chunks = min(rows, elementwise_chunks(steps_of(rows * row_size, shape.KH * shape.KW)));
  parallel(chunks, [=, &shape](int64_t chunk) {
    const Pool2dShape s = shape;  // a copy that no store can alias
    const bool is_2x2 = windows_are_2x2(s);
    const Range r = chunk_range(rows, chunks, chunk);
    for (int64_t row = r.begin; row < r.end; ++row) {
      const int64_t n = row / s.OH, h = row % s.OH * s.stride_h - s.pad_top;
      const float* image = x + n * s.H * s.W * s.C;
      Index* row_argmax = argmax ? argmax + row * row_size : nullptr;
      if (is_2x2)
        max_pool2d_row_2x2<kSigned>(s, image + h * s.W * s.C, sign, y + row * row_size, row_argmax);
      else
        max_pool2d_row(s, h, image, y + row * row_size, row_argmax);
    }
  });
}

template <class Index>
void max_pool2d_backward_as(const Pool2dShape& s, const float* dy, const Index* argmax, float* dx) {
  pool2d_backward(s, dx, [=](auto lanes, int64_t, int64_t, int64_t i) PYCONV_LANES_BODY {
    using L = decltype(lanes);
    const typename L::Float g = load_float<L>(dy + i);
    const typename L::Int best = load_int<L>(argmax + i);
    return [=](int32_t k) PYCONV_LANES_BODY { return best == k ? g : typename L::Float{}; };
  });
}

}  // namespace

Status max_pool2d(const Context&, const Pool2dShape& s, const float* x, float* y, void* argmax) {
  if (argmax_is_uint8(s))
    max_pool2d_as<false>(s, x, nullptr, y, static_cast<uint8_t*>(argmax));
  else
    max_pool2d_as<false>(s, x, nullptr, y, static_cast<int32_t*>(argmax));
  return kOk;
}

Status max_pool2d_backward(const Context&, const Pool2dShape& s, const float* dy, const void* argmax, float* dx) {
  if (argmax_is_uint8(s))
    max_pool2d_backward_as(s, dy, static_cast<const uint8_t*>(argmax), dx);
  else
    max_pool2d_backward_as(s, dy, static_cast<const int32_t*>(argmax), dx);
  return kOk;
}

Status max_pool2d_signed(const Context& context, const Pool2dShape& s, const float* x, const float* gamma,
                         float* y, void* argmax) {
  if (!windows_are_2x2(s)) return {"max_pool2d_signed needs 2x2 windows, stride 2 and no padding"};
  if (!gamma) return max_pool2d(context, s, x, y, argmax);
  max_pool2d_as<true>(s, x, gamma, y, static_cast<uint8_t*>(argmax));
  return kOk;
}

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
