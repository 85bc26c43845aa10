// Convolutions of any kernel, stride, padding, dilation and groups, as implicit matrix products (gemm.cuh).
#include "conv2d.cuh"
#include "conv2d_epilogue.cuh"
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

// Element (m or n, k) of a matrix that lies in memory.
template <bool kDepthFast_>
struct Matrix {
  static constexpr bool kDepthFast = kDepthFast_;
  using Outer = int64_t;  // an offset, or -1 beyond the ends
  const float* first;
  int64_t outers, depth, outer_stride, stride;

  PYCONV_DEVICE int64_t outer(int64_t n) const { return n < outers ? n * outer_stride : -1; }
  PYCONV_DEVICE int64_t inner(int64_t k) const { return k < depth ? k * stride : -1; }
  PYCONV_DEVICE float load(int64_t outer, int64_t inner) const {
    return outer < 0 || inner < 0 ? 0 : first[outer + inner];
  }
};

// Windows of one pixel: x, dy and weight are plain matrices then, and no address asks for a division.
bool is_pointwise(const Conv2dShape& s) {
  return s.KH * s.KW == 1 && s.stride_h == 1 && s.stride_w == 1 && s.H == s.OH && s.W == s.OW;
}

// Calls function with a problem of the kind that the shape asks for.
template <template <bool> class Problem, class Function>
auto with_problem(const Conv2dShape& s, const Function& function) {
  return is_pointwise(s) ? function(Problem<true>{}) : function(Problem<false>{});
}

// ---- forward: pixels x output channels

struct ForwardLeft : Input {
  static constexpr bool kDepthFast = true;
  using Outer = Pixel;
  PYCONV_DEVICE Pixel outer(int64_t m) const { return pixel(m); }
  PYCONV_DEVICE Tap inner(int64_t k) const { return tap(k); }
};

template <bool kPointwise>
struct Forward {
  using Left = std::conditional_t<kPointwise, Matrix<true>, ForwardLeft>;
  using Right = Matrix<false>;
  Conv2dShape s;
  const float *x, *weight;
  Epilogue epilogue;
  float* sums;  // (parts, rows, C_out), where there are several parts
  int64_t rows, columns, depth, parts;

  PYCONV_DEVICE int64_t channels() const { return s.C_in / s.groups; }
  PYCONV_DEVICE Left left(int64_t group) const {
    if constexpr (kPointwise)
      return {x + group * depth, rows, depth, s.C_in, 1};
    else
      return {{s, x, channels(), group * channels()}};
  }
  PYCONV_DEVICE Right right(int64_t group) const { return {weight + group * columns, columns, depth, 1, s.C_out}; }
  PYCONV_DEVICE void store(int64_t group, int64_t part, int64_t m, int64_t n, float sum) const {
    const int64_t c = group * columns + n;
    if (parts > 1)
      sums[(part * rows + m) * s.C_out + c] = sum;
    else
      epilogue.y[m * s.C_out + c] = finished(epilogue, c, sum);
  }
};

struct AddForwardParts {
  int64_t parts, size, C;
  const float* sums;
  Epilogue epilogue;
  PYCONV_DEVICE void operator()(int64_t i) const {
    float sum = 0;
#pragma unroll 8
    for (int64_t part = 0; part < parts; ++part) sum += sums[part * size + i];
    epilogue.y[i] = finished(epilogue, i % C, sum);
  }
};

// A product of few tiles is cut along its depth, to occupy a large GPU.
template <class Problem>
Problem forward_problem(const Conv2dShape& s) {
  Problem problem{};
  problem.s = s;
  problem.rows = s.N * s.OH * s.OW;
  problem.columns = s.C_out / s.groups;
  problem.depth = s.KH * s.KW * (s.C_in / s.groups);
  const int64_t tiles = ceil_div(problem.rows, kTileSide) * ceil_div(problem.columns, kTileSide);
  const int64_t wanted = tiles ? 132 / (tiles * s.groups) : 1, by_depth = problem.depth / 128;
  problem.parts = wanted < by_depth ? wanted : by_depth;
  if (problem.parts < 1) problem.parts = 1;
  return problem;
}

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

template <bool kPointwise>
struct BackwardInput {
  using Left = std::conditional_t<kPointwise, Matrix<true>, BackwardInputLeft>;
  using Right = std::conditional_t<kPointwise, Matrix<true>, BackwardInputRight>;
  Conv2dShape s;
  const float *dy, *weight;
  float* dx;
  int64_t rows, columns, depth, parts;

  PYCONV_DEVICE int64_t channels() const { return s.C_out / s.groups; }
  PYCONV_DEVICE Left left(int64_t group) const {
    if constexpr (kPointwise)
      return {dy + group * depth, rows, depth, s.C_out, 1};
    else
      return {s, dy, channels(), group * channels()};
  }
  PYCONV_DEVICE Right right(int64_t group) const {
    if constexpr (kPointwise)
      return {weight + group * depth, columns, depth, s.C_out, 1};
    else
      return {s, weight, channels(), group * channels(), columns};
  }
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

struct PointwiseBackwardWeightLeft : Matrix<false> {
  PYCONV_DEVICE float load(int64_t outer, int64_t inner) const {
    return outer < 0 ? 1 : Matrix<false>::load(outer, inner);
  }
};

template <bool kPointwise>
struct BackwardWeight {
  using Left = std::conditional_t<kPointwise, PointwiseBackwardWeightLeft, BackwardWeightLeft>;
  using Right = Matrix<false>;
  Conv2dShape s;
  const float *dy, *x;
  float* sums;  // (parts, groups, rows, columns)
  int64_t rows, columns, depth, parts;

  PYCONV_DEVICE int64_t channels() const { return s.C_in / s.groups; }
  PYCONV_DEVICE Left left(int64_t group) const {
    if constexpr (kPointwise)
      return {{x + group * channels(), channels(), depth, 1, s.C_in}};
    else
      return {{s, x, channels(), group * channels()}};
  }
  PYCONV_DEVICE Right right(int64_t group) const { return {dy + group * columns, columns, depth, 1, s.C_out}; }
  PYCONV_DEVICE void store(int64_t group, int64_t part, int64_t m, int64_t n, float sum) const {
    sums[((part * s.groups + group) * rows + m) * columns + n] = sum;
  }
};

// Sized to fill a GPU of about 130 multiprocessors twice, in parts of 256 pixels and more, within 64 MB.
template <class Problem>
Problem backward_weight_problem(const Conv2dShape& s) {
  Problem problem{};
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

bool fits(const Context&, const Conv2dShape&) {
  return true;
}

size_t scratch_bytes(const Context&, const Conv2dShape& s, Conv2dPass pass) {
  const auto problem = forward_problem<Forward<false>>(s);
  if (pass != Conv2dPass::kForward || problem.parts == 1) return 0;
  return static_cast<size_t>(problem.parts * problem.rows * s.C_out) * sizeof(float);
}

Status forward(const Context& context, const Conv2dShape& s, const ForwardPass& pass, const Epilogue& epilogue,
               void* scratch) {
  auto* sums = static_cast<float*>(scratch);
  return with_problem<Forward>(s, [&](auto kind) {
    auto problem = forward_problem<decltype(kind)>(s);
    problem.x = pass.x, problem.weight = pass.weight, problem.epilogue = epilogue, problem.sums = sums;
    const Status status = multiply(context, problem, s.groups);
    if (status.message || problem.parts == 1) return status;
    const int64_t size = problem.rows * s.C_out;
    return for_each(context, size, AddForwardParts{problem.parts, size, s.C_out, sums, epilogue});
  });
}

Status backward_input(const Context& context, const Conv2dShape& s, const float* dy, const float* weight,
                      const Epilogue& epilogue, void*) {
  const int64_t depth = s.KH * s.KW * (s.C_out / s.groups);
  return with_problem<BackwardInput>(s, [&](auto kind) {
    using Problem = decltype(kind);
    const Problem problem{s, dy, weight, epilogue.y, s.N * s.H * s.W, s.C_in / s.groups, depth, 1};
    return multiply(context, problem, s.groups);
  });
}

int64_t weight_parts(const Conv2dShape& s) {
  return backward_weight_problem<BackwardWeight<false>>(s).parts;
}

Status backward_weight(const Context& context, const Conv2dShape& s, const Conv2dGradient& gradient,
                       const float* x, const ScaleShift&, float* sums) {
  return with_problem<BackwardWeight>(s, [&](auto kind) {
    auto problem = backward_weight_problem<decltype(kind)>(s);
    problem.dy = gradient.d, problem.x = x, problem.sums = sums;
    return multiply(context, problem, s.groups);
  });
}

}  // namespace

const Algorithm kGeneral{
    .fits = fits,
    .in_vectors = false,
    .fusions = kNeedsGradient,
    .forward = forward,
    .backward_input = backward_input,
    .scratch_bytes = scratch_bytes,
    .backward_weight = backward_weight,
    .weight_parts = weight_parts,
};

}  // namespace pyconv::cuda
