// Average pooling: a thread takes an output element; in the gradient, which is gathered, an input element.
#include "pool2d.cuh"

namespace pyconv::cuda {

namespace {

struct AvgPool2d {
  Pool2dShape s;
  const float* x;
  float* y;
  PYCONV_DEVICE void operator()(int64_t i) const {
    const Element at(i, s.OH, s.OW, s.C);
    const int64_t h = at.h * s.stride_h - s.pad_top, w = at.w * s.stride_w - s.pad_left;
    const Range kh = taps_inside(h, s.H, s.KH, 1), kw = taps_inside(w, s.W, s.KW, 1);
    float sum = 0;
    for (int64_t j = kh.begin; j < kh.end; ++j) {
      float row_sum = 0;
      for (int64_t k = kw.begin; k < kw.end; ++k) row_sum += x[((at.n * s.H + h + j) * s.W + w + k) * s.C + at.c];
      sum += row_sum;
    }
    y[i] = sum / average_divisor(s, at.h, at.w);
  }
};

struct AvgPool2dBackward {
  Pool2dShape s;
  const float* dy;
  float* dx;
  PYCONV_DEVICE void operator()(int64_t i) const {
    dx[i] = gather_windows(s, i, [this](int64_t oh, int64_t ow, int64_t output, int64_t) {
      return dy[output] / average_divisor(s, oh, ow);
    });
  }
};

}  // namespace

Status avg_pool2d(const Context& context, const Pool2dShape& s, const float* x, float* y) {
  return for_each(context, s.N * s.OH * s.OW * s.C, AvgPool2d{s, x, y});
}

Status avg_pool2d_backward(const Context& context, const Pool2dShape& s, const float* dy, float* dx) {
  return for_each(context, s.N * s.H * s.W * s.C, AvgPool2dBackward{s, dy, dx});
}

}  // namespace pyconv::cuda
