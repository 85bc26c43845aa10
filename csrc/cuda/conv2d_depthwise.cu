// Depthwise convolutions: a thread takes an output, or in the input gradient an input, of up to four channels.
#include "conv2d.cuh"
#include "conv2d_epilogue.cuh"

namespace pyconv::cuda {

namespace {

constexpr int kMostTaps = 25;

template <int kWidth>
PYCONV_DEVICE void add_product(Pack<kWidth>& sum, const Pack<kWidth>& a, const Pack<kWidth>& b) {
#pragma unroll
  for (int e = 0; e < kWidth; ++e) sum.v[e] += a.v[e] * b.v[e];
}

struct DepthwiseForward {
  Conv2dShape s;
  const float *x, *weight;
  Epilogue epilogue;
  template <int kWidth, class Index>
  PYCONV_DEVICE void operator()(Index i) const {
    const Element at(i, s.OH, s.OW, s.C_out);
    const int64_t top = int64_t{at.h} * s.stride_h - s.pad_top, left = int64_t{at.w} * s.stride_w - s.pad_left;
    Pack<kWidth> sum{};
    for (int64_t kh = 0; kh < s.KH; ++kh)
      for (int64_t kw = 0; kw < s.KW; ++kw) {
        const int64_t h = top + kh * s.dilation_h, w = left + kw * s.dilation_w;
        if (h < 0 || h >= s.H || w < 0 || w >= s.W) continue;
        add_product(sum, load<kWidth>(x + ((int64_t{at.n} * s.H + h) * s.W + w) * s.C_in + at.c),
                    load<kWidth>(weight + (kh * s.KW + kw) * s.C_out + at.c));
      }
#pragma unroll
    for (int e = 0; e < kWidth; ++e) sum.v[e] = finished(epilogue, at.c + e, sum.v[e]);
    store(epilogue.y + i, sum);
  }
};

struct DepthwiseBackwardInput {
  Conv2dShape s;
  const float *dy, *weight;
  float* dx;
  template <int kWidth, class Index>
  PYCONV_DEVICE void operator()(Index i) const {
    const Element at(i, s.H, s.W, s.C_in);
    Pack<kWidth> sum{};
    for (int64_t kh = 0; kh < s.KH; ++kh)
      for (int64_t kw = 0; kw < s.KW; ++kw) {
        const int64_t h = int64_t{at.h} + s.pad_top - kh * s.dilation_h;
        const int64_t w = int64_t{at.w} + s.pad_left - kw * s.dilation_w;
        const int64_t oh = h / s.stride_h, ow = w / s.stride_w;
        if (h < 0 || w < 0 || h % s.stride_h || w % s.stride_w || oh >= s.OH || ow >= s.OW) continue;
        add_product(sum, load<kWidth>(dy + ((int64_t{at.n} * s.OH + oh) * s.OW + ow) * s.C_out + at.c),
                    load<kWidth>(weight + (kh * s.KW + kw) * s.C_out + at.c));
      }
    store(dx + i, sum);
  }
};

// A thread keeps the sums of all taps of a channel, and of dbias, over its rows of pixels; the block joins its
// rows.
template <int kTaps>
struct DepthwiseBackwardWeight {
  static constexpr int kColumns = 32, kRows = 8, kThreads = kColumns * kRows;
  static constexpr size_t kSharedBytes = kThreads * sizeof(float);
  Conv2dShape s;
  const float *dy, *x;
  float* sums;  // (parts, C, taps + 1)
  int64_t parts;

  PYCONV_DEVICE void operator()() const {
    const int64_t c = block_index() * kColumns + thread_index() % kColumns, part = block_index_y();
    const int64_t pixels = s.N * s.OH * s.OW, end = pixels * (part + 1) / parts;
    float mine[kTaps + 1] = {};  // the last is dbias
    for (int64_t i = pixels * part / parts + thread_index() / kColumns; i < end && c < s.C_out; i += kRows) {
      const Element at(i, s.OH, s.OW, 1);
      const float d = dy[i * s.C_out + c];
      const int64_t top = at.h * s.stride_h - s.pad_top, left = at.w * s.stride_w - s.pad_left;
      mine[kTaps] += d;
#pragma unroll
      for (int t = 0; t < kTaps; ++t) {
        const int64_t h = top + t / s.KW * s.dilation_h, w = left + t % s.KW * s.dilation_w;
        if (t < s.KH * s.KW && h >= 0 && h < s.H && w >= 0 && w < s.W)
          mine[t] += d * x[((at.n * s.H + h) * s.W + w) * s.C_in + c];
      }
    }
    const int64_t rows = s.KH * s.KW + 1;
#pragma unroll
    for (int t = 0; t <= kTaps; ++t) {
      const float sum = join_rows<kColumns, kRows>(mine[t], [](float& a, float b) { a += b; });
      const int64_t row = t == kTaps ? rows - 1 : t;
      if (thread_index() < kColumns && c < s.C_out && (t == kTaps || t < rows - 1))
        sums[(part * s.C_out + c) * rows + row] = sum;
    }
  }
};

bool fits(const Context&, const Conv2dShape& s) {
  return s.groups > 1 && s.C_in == s.groups && s.C_out == s.groups && s.KH * s.KW <= kMostTaps;
}

Status forward(const Context& context, const Conv2dShape& s, const ForwardPass& pass, const Epilogue& epilogue,
               void*) {
  return for_packs(context, s.N * s.OH * s.OW, s.C_out, DepthwiseForward{s, pass.x, pass.weight, epilogue}, pass.x,
                   pass.weight, epilogue.y);
}

Status backward_input(const Context& context, const Conv2dShape& s, const float* dy, const float* weight,
                      const Epilogue& epilogue, void*) {
  return for_packs(context, s.N * s.H * s.W, s.C_in, DepthwiseBackwardInput{s, dy, weight, epilogue.y}, dy, weight,
                   epilogue.y);
}

// To fill the multiprocessors of a large GPU, in parts of 128 pixels and more.
int64_t weight_parts(const Conv2dShape& s) {
  const int64_t wanted = ceil_div(1024, ceil_div(s.C_out, 32)), most = ceil_div(s.N * s.OH * s.OW, 128);
  return most < 1 ? 1 : wanted < most ? wanted : most;
}

Status backward_weight(const Context& context, const Conv2dShape& s, const Conv2dGradient& gradient,
                       const float* x, const ScaleShift&, float* sums) {
  const int64_t parts = weight_parts(s);
  const auto with = [&](auto taps) {
    using Kernel = DepthwiseBackwardWeight<decltype(taps)::value>;
    const Grid grid{ceil_div(s.C_out, Kernel::kColumns), parts};
    return launch(context, Kernel{s, gradient.d, x, sums, parts}, grid, Kernel::kSharedBytes);
  };
  return s.KH * s.KW <= 9 ? with(std::integral_constant<int, 9>{})
                          : with(std::integral_constant<int, kMostTaps>{});
}

}  // namespace

const Algorithm kDepthwise{
    .fits = fits,
    .in_vectors = false,
    .fusions = kNeedsGradient,
    .forward = forward,
    .backward_input = backward_input,
    .backward_weight = backward_weight,
    .weight_parts = weight_parts,
};

}  // namespace pyconv::cuda
