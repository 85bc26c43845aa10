// Average pooling: one chunk is a run of output rows; a window is summed row by row in registers, for as many
// channels as a register holds. The gradient is gathered (pool2d.h).
#include "pool2d.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {

namespace {

PYCONV_INLINE void avg_pool2d_row(const Pool2dShape& s, int64_t oh, const float* x, float* y) {
  const int64_t h = oh * s.stride_h - s.pad_top;
  const Range kh = taps_inside(h, s.H, s.KH, 1);
  for (int64_t ow = 0; ow < s.OW; ++ow) {
    const int64_t w = ow * s.stride_w - s.pad_left;
    const Range kw = taps_inside(w, s.W, s.KW, 1);
    const float count = average_divisor(s, oh, ow);
    for_lanes(0, s.C, [&](auto lanes, int64_t c) PYCONV_LANES_BODY {
      using L = decltype(lanes);
      typename L::Float sum{};
      for (int64_t i = kh.begin; i < kh.end; ++i) {
        typename L::Float row_sum{};
        for (int64_t j = kw.begin; j < kw.end; ++j)
          row_sum += load_float<L>(x + ((h + i) * s.W + w + j) * s.C + c);
        sum += row_sum;
      }
      store_as(y + ow * s.C + c, sum / count);
    });
  }
}

}  // namespace

Status avg_pool2d(const Context&, const Pool2dShape& shape, const float* x, float* y) {
  const int64_t rows = shape.N * shape.OH, row_size = shape.OW * shape.C;
  const int64_t chunks = min(rows, elementwise_chunks(steps_of(rows * row_size, shape.KH * shape.KW)));
  parallel(chunks, [=, &shape](int64_t chunk) {
    const Pool2dShape s = shape;  // a copy that no store can alias
    const Range r = chunk_range(rows, chunks, chunk);
    for (int64_t row = r.begin; row < r.end; ++row)
      avg_pool2d_row(s, row % s.OH, x + row / s.OH * s.H * s.W * s.C, y + row * row_size);
  });
  return kOk;
}

Status avg_pool2d_backward(const Context&, const Pool2dShape& s, const float* dy, float* dx) {
  pool2d_backward(s, dx, [=](auto lanes, int64_t oh, int64_t ow, int64_t i) PYCONV_LANES_BODY {
    using L = decltype(lanes);
    const typename L::Float g = load_float<L>(dy + i) / average_divisor(s, oh, ow);
    return [=](int32_t) PYCONV_LANES_BODY { return g; };
  });
  return kOk;
}

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
