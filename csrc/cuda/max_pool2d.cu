// Max pooling: a thread takes an output element; in the gradient, which is gathered, an input element.
#include "pool2d.cuh"
#include "pooled.cuh"

namespace pyconv::cuda {

namespace {

template <class Index>
struct MaxPool2d {
  Pool2dShape s;
  const float* x;
  float* y;
  Index* argmax;  // may be null
  PYCONV_DEVICE void operator()(int64_t i) const {
    const Element at(i, s.OH, s.OW, s.C);
    const int64_t h = at.h * s.stride_h - s.pad_top, w = at.w * s.stride_w - s.pad_left;
    const Range kh = taps_inside(h, s.H, s.KH, s.dilation_h), kw = taps_inside(w, s.W, s.KW, s.dilation_w);
    float best = bits_as_float(0xff800000u);
    int64_t tap = kh.begin < kh.end && kw.begin < kw.end ? kh.begin * s.KW + kw.begin : 0;
    for (int64_t j = kh.begin; j < kh.end; ++j)
      for (int64_t k = kw.begin; k < kw.end; ++k) {
        const float v = x[((at.n * s.H + h + j * s.dilation_h) * s.W + w + k * s.dilation_w) * s.C + at.c];
        // The first of equals stays. A NaN beats every number, and nothing beats a NaN.
        if (!(v <= best) && best == best) best = v, tap = j * s.KW + k;
      }
    y[i] = best;
    if (argmax) argmax[i] = static_cast<Index>(tap);
  }
};

template <class Index>
struct MaxPool2dBackward {
  Pool2dShape s;
  const float* dy;
  const Index* argmax;
  float* dx;
  PYCONV_DEVICE void operator()(int64_t i) const {
    dx[i] = gather_windows(s, i, [this](int64_t, int64_t, int64_t output, int64_t tap) {
      return argmax[output] == tap ? dy[output] : 0.0f;
    });
  }
};

// Of 2x2 windows, by the sign of gamma: see Conv2dEpilogue.
struct MaxPool2dSigned {
  int64_t H, W, OH, OW, C;
  const float *x, *gamma;
  float* y;
  uint8_t* argmax;  // may be null
  template <int kWidth, class Index>
  PYCONV_DEVICE void operator()(Index i) const {
    const Element at(i, OH, OW, C);
    const int64_t first = (at.n * H + 2 * at.h) * W + 2 * at.w;
    Pack<kWidth> values[4], best;
    Pack<kWidth, uint8_t> taps;
#pragma unroll
    for (int tap = 0; tap < 4; ++tap) values[tap] = load<kWidth>(x + (first + tap / 2 * W + tap % 2) * C + at.c);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      const float window[4] = {values[0].v[e], values[1].v[e], values[2].v[e], values[3].v[e]};
      const Pooled pooled(gamma ? Pooled::sign_of(gamma[at.c + e]) : 1, window);
      best.v[e] = pooled.value;
      taps.v[e] = static_cast<uint8_t>(pooled.tap);
    }
    store(y + i, best);
    if (argmax) store(argmax + i, taps);
  }
};

// Calls function with a value of argmax's type.
template <class Function>
Status with_index_type(const Pool2dShape& s, const Function& function) {
  return argmax_is_uint8(s) ? function(uint8_t{}) : function(int32_t{});
}

}  // namespace

Status max_pool2d(const Context& context, const Pool2dShape& s, const float* x, float* y, void* argmax) {
  return with_index_type(s, [&](auto index) {
    using Index = decltype(index);
    const MaxPool2d<Index> body{s, x, y, static_cast<Index*>(argmax)};
    return for_each(context, s.N * s.OH * s.OW * s.C, body);
  });
}

Status max_pool2d_backward(const Context& context, const Pool2dShape& s, const float* dy, const void* argmax,
                           float* dx) {
  return with_index_type(s, [&](auto index) {
    using Index = decltype(index);
    const MaxPool2dBackward<Index> body{s, dy, static_cast<const Index*>(argmax), dx};
    return for_each(context, s.N * s.H * s.W * s.C, body);
  });
}

Status max_pool2d_signed(const Context& context, const Pool2dShape& s, const float* x, const float* gamma,
                         float* y, void* argmax) {
  if (!windows_are_2x2(s)) return {"max_pool2d_signed needs 2x2 windows, stride 2 and no padding"};
  const MaxPool2dSigned body{s.H, s.W, s.OH, s.OW, s.C, x, gamma, y, static_cast<uint8_t*>(argmax)};
  return for_packs(context, s.N * s.OH * s.OW, s.C, body, x, y, argmax);
}

}  // namespace pyconv::cuda
