// Convolution and its gradients: 3x3 kernels where they fit (conv2d_3x3.cu), else implicit matrix products
// (gemm.cuh) for any kernel, stride, padding, dilation and groups.
#include "conv2d_3x3.cuh"
#include "gemm.cuh"

namespace pyconv::cuda {

namespace {

// A pixel of the convolution's output, and what a kernel's tap and channel add to it.
struct Pixel {
  int64_t image;  // n, or -1 beyond the last
  int64_t h, w;   // of the window's first tap in the input
};
struct Tap {
  int64_t kh, kw, channel;  // kh: -1 beyond the last
};

PYCONV_DEVICE Tap tap_of(const Conv2dShape& s, int64_t k, int64_t channels) {
  const int64_t tap = k / channels;
  return {tap < s.KH * s.KW ? tap / s.KW : -1, tap % s.KW, k % channels};
}

// x as seen by output pixels: the forward product's left side, and the weight gradient's, where the roles of outer
// and inner change.
struct Input {
  Conv2dShape s;
  const float* x;
  int64_t channels, first_channel;  // of the group

  PYCONV_DEVICE Pixel pixel(int64_t p) const {
    const int64_t image = p / (s.OH * s.OW), h = p / s.OW % s.OH, w = p % s.OW;
    return {image < s.N ? image : -1, h * s.stride_h - s.pad_top, w * s.stride_w - s.pad_left};
  }
  PYCONV_DEVICE Tap tap(int64_t k) const { return tap_of(s, k, channels); }
  PYCONV_DEVICE float load(const Pixel& p, const Tap& t) const {
    const int64_t h = p.h + t.kh * s.dilation_h, w = p.w + t.kw * s.dilation_w;
    if (p.image < 0 || t.kh < 0 || h < 0 || h >= s.H || w < 0 || w >= s.W) return 0;
    return x[((p.image * s.H + h) * s.W + w) * s.C_in + first_channel + t.channel];
  }
};

// ---- forward: pixels x output channels

struct ForwardLeft : Input {
  static constexpr bool kDepthFast = true;
  using Outer = Pixel;
  PYCONV_DEVICE Pixel outer(int64_t m) const { return pixel(m); }
  PYCONV_DEVICE Tap inner(int64_t k) const { return tap(k); }
};

// Rows of a matrix (depth, stride), columns [first, first + columns) of them.
struct Rows {
  static constexpr bool kDepthFast = false;
  using Outer = int64_t;
  const float* matrix;
  int64_t depth, stride, first, columns;
  PYCONV_DEVICE int64_t outer(int64_t n) const { return n; }
  PYCONV_DEVICE int64_t inner(int64_t k) const { return k; }
  PYCONV_DEVICE float load(int64_t n, int64_t k) const {
    return n < columns && k < depth ? matrix[k * stride + first + n] : 0;
  }
};

struct Forward {
  using Left = ForwardLeft;
  using Right = Rows;
  Conv2dShape s;
  const float *x, *weight, *bias;
  float* y;
  int64_t rows, columns, depth, parts;

  PYCONV_DEVICE int64_t channels() const { return s.C_in / s.groups; }
  PYCONV_DEVICE Left left(int64_t group) const { return {{s, x, channels(), group * channels()}}; }
  PYCONV_DEVICE Right right(int64_t group) const { return {weight, depth, s.C_out, group * columns, columns}; }
  PYCONV_DEVICE void store(int64_t group, int64_t, int64_t m, int64_t n, float sum) const {
    const int64_t c = group * columns + n;
    y[m * s.C_out + c] = bias ? sum + bias[c] : sum;
  }
};

// ---- input gradient: input pixels x input channels, over taps and output channels

struct BackwardInputLeft {
  static constexpr bool kDepthFast = true;
  using Outer = Pixel;  // h, w: of the output under the first tap, times the stride
  Conv2dShape s;
  const float* dy;
  int64_t channels, first_channel;

  PYCONV_DEVICE Pixel outer(int64_t p) const {
    const int64_t image = p / (s.H * s.W), h = p / s.W % s.H, w = p % s.W;
    return {image < s.N ? image : -1, h + s.pad_top, w + s.pad_left};
  }
  PYCONV_DEVICE Tap inner(int64_t k) const { return tap_of(s, k, channels); }
  PYCONV_DEVICE float load(const Pixel& p, const Tap& t) const {
    const int64_t h = p.h - t.kh * s.dilation_h, w = p.w - t.kw * s.dilation_w;
    if (p.image < 0 || t.kh < 0 || h < 0 || w < 0 || h % s.stride_h || w % s.stride_w) return 0;
    const int64_t oh = h / s.stride_h, ow = w / s.stride_w;
    if (oh >= s.OH || ow >= s.OW) return 0;
    return dy[((p.image * s.OH + oh) * s.OW + ow) * s.C_out + first_channel + t.channel];
  }
};

struct BackwardInputRight {
  static constexpr bool kDepthFast = true;
  using Outer = int64_t;
  Conv2dShape s;
  const float* weight;
  int64_t channels, first_channel, columns;
  PYCONV_DEVICE int64_t outer(int64_t n) const { return n; }
  PYCONV_DEVICE Tap inner(int64_t k) const { return tap_of(s, k, channels); }
  PYCONV_DEVICE float load(int64_t n, const Tap& t) const {
    if (n >= columns || t.kh < 0) return 0;
    return weight[((t.kh * s.KW + t.kw) * columns + n) * s.C_out + first_channel + t.channel];
  }
};

struct BackwardInput {
  using Left = BackwardInputLeft;
  using Right = BackwardInputRight;
  Conv2dShape s;
  const float *dy, *weight;
  float* dx;
  int64_t rows, columns, depth, parts;

  PYCONV_DEVICE int64_t channels() const { return s.C_out / s.groups; }
  PYCONV_DEVICE Left left(int64_t group) const { return {s, dy, channels(), group * channels()}; }
  PYCONV_DEVICE Right right(int64_t group) const { return {s, weight, channels(), group * channels(), columns}; }
  PYCONV_DEVICE void store(int64_t group, int64_t, int64_t m, int64_t n, float sum) const {
    dx[m * s.C_in + group * columns + n] = sum;
  }
};

// ---- weight gradient: (taps x input channels, and a row of ones for dbias) x output channels, over pixels

struct BackwardWeightLeft : Input {
  static constexpr bool kDepthFast = false;
  using Outer = Tap;
  PYCONV_DEVICE Tap outer(int64_t m) const { return tap(m); }
  PYCONV_DEVICE Pixel inner(int64_t k) const { return pixel(k); }
  PYCONV_DEVICE float load(const Tap& t, const Pixel& p) const {
    if (t.kh < 0) return 1;
    return Input::load(p, t);
  }
};

struct BackwardWeight {
  using Left = BackwardWeightLeft;
  using Right = Rows;
  Conv2dShape s;
  const float *dy, *x;
  float* sums;  // (parts, groups, rows, columns)
  int64_t rows, columns, depth, parts;

  PYCONV_DEVICE int64_t channels() const { return s.C_in / s.groups; }
  PYCONV_DEVICE Left left(int64_t group) const { return {{s, x, channels(), group * channels()}}; }
  PYCONV_DEVICE Right right(int64_t group) const { return {dy, depth, s.C_out, group * columns, columns}; }
  PYCONV_DEVICE void store(int64_t group, int64_t part, int64_t m, int64_t n, float sum) const {
    sums[((part * s.groups + group) * rows + m) * columns + n] = sum;
  }
};

// The parts, added in order.
struct AddParts {
  int64_t parts, size, rows, columns, C_out;
  const float* sums;
  float *dweight, *dbias;
  PYCONV_DEVICE void operator()(int64_t i) const {
    float sum = 0;
#pragma unroll 8
    for (int64_t part = 0; part < parts; ++part) sum += sums[part * size + i];
    const int64_t n = i % columns, m = i / columns % rows, c = i / columns / rows * columns + n;
    if (m + 1 < rows)
      dweight[m * C_out + c] = sum;
    else if (dbias)
      dbias[c] = sum;
  }
};

// Sized to fill a GPU of about 130 multiprocessors twice, in parts of 256 pixels and more, within 64 MB.
BackwardWeight backward_weight_problem(const Conv2dShape& s) {
  BackwardWeight problem{};
  problem.s = s;
  problem.rows = s.KH * s.KW * (s.C_in / s.groups) + 1;
  problem.columns = s.C_out / s.groups;
  problem.depth = s.N * s.OH * s.OW;
  const int64_t tiles = ceil_div(problem.rows, kTileSide) * ceil_div(problem.columns, kTileSide) * s.groups;
  const int64_t by_memory = (int64_t{1} << 24) / (problem.rows * s.C_out);
  int64_t parts = ceil_div(264, tiles);
  for (const int64_t bound : {ceil_div(problem.depth, 256), by_memory}) parts = bound < parts ? bound : parts;
  problem.parts = parts < 1 ? 1 : parts;
  return problem;
}

}  // namespace

size_t conv2d_workspace(const Context& context, const Conv2dShape& s, Conv2dPass pass) {
  if (pass == Conv2dPass::kForward) return 0;
  const bool fits = fits_3x3(context, s, nullptr, nullptr, nullptr);
  if (pass == Conv2dPass::kBackwardInput)
    return fits ? static_cast<size_t>(9 * s.C_in * s.C_out) * sizeof(float) : 0;
  const BackwardWeight problem = backward_weight_problem(s);
  int64_t parts = problem.parts;  // where the arrays turn out not to be aligned
  if (fits && backward_weight_3x3_parts(s) > parts) parts = backward_weight_3x3_parts(s);
  return static_cast<size_t>(parts * problem.rows * s.C_out) * sizeof(float);
}

Status conv2d(const Context& context, const Conv2dShape& s, const float* x, const float* weight, const float* bias,
              float* y) {
  if (fits_3x3(context, s, x, weight, y)) {
    return correlate_3x3(context, correlation_3x3(s), x, weight, bias, y);
  }
  const int64_t depth = s.KH * s.KW * (s.C_in / s.groups);
  return multiply(context, Forward{s, x, weight, bias, y, s.N * s.OH * s.OW, s.C_out / s.groups, depth, 1},
                  s.groups);
}

Status conv2d_backward_input(const Context& context, const Conv2dShape& s, const float* dy, const float* weight,
                             float* dx) {
  if (fits_3x3(context, s, dy, weight, dx)) {
    float* turned = static_cast<float*>(context.workspace);
    const Status status = turn_3x3(context, s, weight, turned);
    if (status.message) return status;
    const Correlation3x3 f = correlation_3x3(s);
    const Correlation3x3 turn{f.N, f.OH, f.OW, f.K, f.H, f.W, f.C, 2 - f.pad_top, 2 - f.pad_left};
    return correlate_3x3(context, turn, dy, turned, nullptr, dx);
  }
  const int64_t depth = s.KH * s.KW * (s.C_out / s.groups);
  return multiply(context, BackwardInput{s, dy, weight, dx, s.N * s.H * s.W, s.C_in / s.groups, depth, 1},
                  s.groups);
}

Status conv2d_backward_weight(const Context& context, const Conv2dShape& s, const float* dy, const float* x,
                              float* dweight, float* dbias) {
  BackwardWeight problem = backward_weight_problem(s);
  problem.dy = dy, problem.x = x, problem.sums = static_cast<float*>(context.workspace);
  const bool fits = fits_3x3(context, s, dy, x, nullptr);
  if (fits) problem.parts = backward_weight_3x3_parts(s);
  const Status status =
      fits ? backward_weight_3x3(context, s, dy, x, problem.sums) : multiply(context, problem, s.groups);
  if (status.message) return status;
  const int64_t size = s.groups * problem.rows * problem.columns;
  return for_each(
      context, size,
      AddParts{problem.parts, size, problem.rows, problem.columns, s.C_out, problem.sums, dweight, dbias});
}

}  // namespace pyconv::cuda
