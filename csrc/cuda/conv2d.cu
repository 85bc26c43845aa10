// Convolution and its gradients: which kernels take a call, and what comes before and after them.
#include "conv2d_general.cuh"
#include "conv2d_gradient.cuh"

namespace pyconv::cuda {

namespace {

constexpr Status kNotFused{"this shape, or arrays that are not aligned to 16 bytes, cannot be fused"};

enum class Kind { k3x3, kFewChannels, kDepthwise, kGeneral };

// `arrays` are those that have to be vectors of 16 bytes.
template <class... Arrays>
Kind kind_of(const Context& context, const Conv2dShape& s, const Arrays*... arrays) {
  if (fits_depthwise(s)) return Kind::kDepthwise;
  if (!(is_aligned(arrays) && ...)) return Kind::kGeneral;
  if (fits_3x3(context, s)) return Kind::k3x3;
  return fits_few_channels(context, s) ? Kind::kFewChannels : Kind::kGeneral;
}

// Takes arrays out of a workspace, or, without one, counts their bytes.
struct Carver {
  char* workspace;
  size_t used = 0;

  template <class T>
  T* take(size_t bytes) {
    char* taken = workspace ? workspace + used : nullptr;
    used += ceil_div(bytes, size_t{256}) * 256;
    return reinterpret_cast<T*>(taken);
  }
};

// Of a forward pass, or of an input gradient as the correlation that it is.
struct CorrelationWorkspace {
  size_t bytes;
  void* packed = nullptr;  // weights
  double* parts;           // of the sums that are taken of what is written
  float* sums = nullptr;   // of a general product's parts

  CorrelationWorkspace(const Context& context, const Conv2dShape& s, Conv2dPass pass) {
    const bool forward = pass == Conv2dPass::kForward;
    Carver carver{static_cast<char*>(context.workspace)};
    const int64_t M = forward ? s.N * s.OH * s.OW : s.N * s.H * s.W, C = forward ? s.C_out : s.C_in;
    size_t parts_bytes = batch_norm_parts_bytes(M, C);
    const auto at_least = [&](int parts) {
      const size_t wanted = static_cast<size_t>(parts * Moments::kNumbers * C) * sizeof(double);
      if (wanted > parts_bytes) parts_bytes = wanted;
    };
    if (fits_3x3(context, s)) {
      const Correlation3x3 correlation = forward ? correlation_3x3(s) : correlation_3x3_of_gradient(s);
      packed = carver.take<void>(packed_3x3_bytes(context, correlation));
      at_least(parts_3x3(correlation));
    } else if (forward && fits_few_channels(context, s)) {
      at_least(parts_few_channels(correlation_3x3(s)));
    }
    parts = carver.take<double>(parts_bytes);
    if (forward) sums = carver.take<float>(forward_general_bytes(s));
    bytes = carver.used;
  }
};

// The parts, added in an order of their own: a warp takes 32 elements of every 16th part, so that hundreds of
// parts are not hundreds of waits.
struct AddParts {
  static constexpr int kSlices = 16, kThreads = kSlices * kWarp;
  static constexpr size_t kSharedBytes = kThreads * sizeof(float);
  int64_t parts, size, rows, columns, C_out;
  const float* sums;
  float *dweight, *dbias;
  PYCONV_DEVICE void operator()() const {
    const int64_t i = block_index() * kWarp + lane_index();
    float sum = 0;
    if (i < size) {
#pragma unroll 8
      for (int64_t part = warp_index(); part < parts; part += kSlices) sum += sums[part * size + i];
    }
    sum = join_rows<kWarp, kSlices>(sum, [](float& a, float b) { a += b; });
    if (warp_index() || i >= size) return;
    const int64_t n = i % columns, m = i / columns % rows, c = i / columns / rows * columns + n;
    if (m + 1 < rows)
      dweight[m * C_out + c] = sum;
    else if (dbias)
      dbias[c] = sum;
  }
};

int64_t backward_weight_parts(const Conv2dShape& s, Kind kind) {
  if (kind == Kind::k3x3) return backward_weight_3x3_parts(correlation_3x3(s));
  if (kind == Kind::kFewChannels) return backward_weight_few_channels_parts(correlation_3x3(s));
  return kind == Kind::kDepthwise ? backward_weight_depthwise_parts(s) : backward_weight_general_parts(s);
}

// From parts' sums to dweight and dbias.
Status add_parts(const Context& context, const Conv2dShape& s, Kind kind, float* dweight, float* dbias) {
  const int64_t rows = s.KH * s.KW * (s.C_in / s.groups) + 1, columns = s.C_out / s.groups;
  const int64_t size = s.groups * rows * columns;
  const auto* sums = static_cast<const float*>(context.workspace);
  const AddParts body{backward_weight_parts(s, kind), size, rows, columns, s.C_out, sums, dweight, dbias};
  return launch(context, body, {ceil_div(size, kWarp)}, body.kSharedBytes);
}

// dy, written.
struct MakeGradient {
  Conv2dGradient gradient;
  int64_t OH, OW, C;
  template <int kWidth, class Index>
  PYCONV_DEVICE void operator()(Index i) const {
    const Index pixel = i / static_cast<Index>(C), c = i % static_cast<Index>(C);
    Index window = 0;
    int tap = 0;
    if (gradient.argmax) {
      const Index height = static_cast<Index>(OH), width = static_cast<Index>(OW);
      const Index w = pixel % width, row = pixel / width, h = row % height, n = row / height;
      window = (n * (height / 2) + h / 2) * (width / 2) + w / 2;
      tap = static_cast<int>(h % 2 * 2 + w % 2);
    }
    store(gradient.dy + i, gradient_at<kWidth>(gradient, C, pixel, window, tap, c));
  }
};

Status forward(const Context& context, const Conv2dShape& s, const float* x, const ScaleShift& input,
               const float* weight, const float* prepared, const float* bias, const Conv2dEpilogue& epilogue,
               float* y) {
  const CorrelationWorkspace workspace(context, s, Conv2dPass::kForward);
  const bool taking = epilogue.statistics.mean;
  const Epilogue ending = epilogue_of(bias, epilogue, y, workspace.parts);
  const int64_t M = s.N * s.OH * s.OW;
  const Correlation3x3 sizes = correlation_3x3(s);
  Status status = kOk;
  int parts = 0;
  const Kind kind = kind_of(context, s, x, y, epilogue.pooled, prepared);
  switch (kind) {
    case Kind::k3x3:
      if (!prepared) {
        status = pack_3x3(context, sizes, false, weight, workspace.packed);
        if (status.message) return status;
      }
      parts = parts_3x3(sizes);
      status = correlate_3x3(context, sizes, x, input, prepared ? prepared : workspace.packed, ending);
      break;
    case Kind::kFewChannels:
      if (input.scale) return kNotFused;
      parts = parts_few_channels(sizes);
      status = correlate_few_channels(context, sizes, x, weight, ending);
      break;
    case Kind::kDepthwise:
    case Kind::kGeneral:
      if (input.scale || epilogue.pooled) return kNotFused;
      status = kind == Kind::kDepthwise ? forward_depthwise(context, s, x, weight, ending)
                                        : forward_general(context, s, x, weight, ending, workspace.sums);
      if (status.message || !taking) return status;
      return reduce_statistics(context, M, s.C_out, y, epilogue.statistics, workspace.parts);
  }
  if (status.message || !taking) return status;
  return merge_statistics(context, M, s.C_out, workspace.parts, parts, epilogue.statistics);
}

// reduction: null for none.
Status backward_input(const Context& context, const Conv2dShape& s, const float* dy, const float* weight,
                      const BatchNormReduction* reduction, float* dx) {
  const CorrelationWorkspace workspace(context, s, Conv2dPass::kBackwardInput);
  const auto* normalized = reduction ? reduction->x : nullptr;
  if (kind_of(context, s, dy, dx, normalized) != Kind::k3x3) {
    const Status status = fits_depthwise(s) ? backward_input_depthwise(context, s, dy, weight, dx)
                                            : backward_input_general(context, s, dy, weight, dx);
    if (status.message || !reduction) return status;
    return reduce_gradients(context, s.N * s.H * s.W, s.C_in, dx, *reduction, workspace.parts);
  }
  const Correlation3x3 sizes = correlation_3x3_of_gradient(s);
  Status status = pack_3x3(context, sizes, true, weight, workspace.packed);
  if (status.message) return status;
  Epilogue ending;
  ending.y = dx;
  if (reduction) ending = epilogue_of(*reduction, dx, workspace.parts);
  status = correlate_3x3(context, sizes, dy, {}, workspace.packed, ending);
  if (status.message || !reduction) return status;
  return merge_gradients(context, s.C_in, workspace.parts, parts_3x3(sizes), *reduction);
}

Status backward_weight(const Context& context, const Conv2dShape& s, const Conv2dGradient& gradient,
                       const float* x, const ScaleShift& input, float* dweight, float* dbias) {
  auto* sums = static_cast<float*>(context.workspace);
  const float* dy = gradient.d;
  const bool few = fits_few_channels(context, s) && is_aligned(gradient) && is_aligned(gradient.dy);
  if (gradient.dy || (is_made(gradient) && !few)) {
    if (!gradient.dy) return kNotFused;
    const ScaleShift& n = gradient.normalization;
    const Status status =
        for_packs(context, s.N * s.OH * s.OW, s.C_out, MakeGradient{gradient, s.OH, s.OW, s.C_out}, gradient.d,
                  gradient.argmax, gradient.y, gradient.coefficients, n.relu ? n.scale : nullptr,
                  n.relu ? n.shift : nullptr, gradient.dy);
    if (status.message) return status;
    dy = gradient.dy;
  }
  const Kind kind = few ? Kind::kFewChannels : kind_of(context, s, dy, x);
  if (kind != Kind::k3x3 && input.scale) return kNotFused;
  Conv2dGradient made{};
  made.d = dy;
  Status status = kOk;
  if (kind == Kind::k3x3)
    status = backward_weight_3x3(context, correlation_3x3(s), dy, x, input, sums);
  else if (kind == Kind::kFewChannels)
    status = backward_weight_few_channels(context, correlation_3x3(s), gradient.dy ? made : gradient, x, sums);
  else if (kind == Kind::kDepthwise)
    status = backward_weight_depthwise(context, s, dy, x, sums);
  else
    status = backward_weight_general(context, s, dy, x, sums);
  return status.message ? status : add_parts(context, s, kind, dweight, dbias);
}

}  // namespace

size_t conv2d_workspace(const Context& context, const Conv2dShape& s, Conv2dPass pass) {
  Context counting = context;
  counting.workspace = nullptr;
  if (pass != Conv2dPass::kBackwardWeight) return CorrelationWorkspace(counting, s, pass).bytes;
  int64_t parts = 0;  // the general kernels' too: arrays may turn out not to be aligned
  for (const Kind kind : {kind_of(context, s), Kind::kGeneral})
    if (const int64_t wanted = backward_weight_parts(s, kind); wanted > parts) parts = wanted;
  return static_cast<size_t>(parts * (s.KH * s.KW * (s.C_in / s.groups) + 1) * s.C_out) * sizeof(float);
}

Status conv2d(const Context& context, const Conv2dShape& s, const float* x, const float* weight, const float* bias,
              float* y) {
  return forward(context, s, x, {}, weight, nullptr, bias, {}, y);
}

Status conv2d_backward_input(const Context& context, const Conv2dShape& s, const float* dy, const float* weight,
                             float* dx) {
  return backward_input(context, s, dy, weight, nullptr, dx);
}

Status conv2d_backward_weight(const Context& context, const Conv2dShape& s, const float* dy, const float* x,
                              float* dweight, float* dbias) {
  Conv2dGradient gradient{};
  gradient.d = dy;
  return backward_weight(context, s, gradient, x, {}, dweight, dbias);
}

// ---- fused

// Where a kernel cannot take what is fused along, the pass over memory comes after it, still fewer than the plain
// calls' passes.
uint32_t conv2d_fusions(const Context& context, const Conv2dShape& s) {
  const Kind kind = kind_of(context, s);
  uint32_t fusions = kFuseEpilogue | kFuseReduction | kFuseGradient;
  if ((kind == Kind::k3x3 || kind == Kind::kFewChannels) && s.OH % 2 == 0 && s.OW % 2 == 0) fusions |= kFusePool;
  if (kind == Kind::k3x3) fusions |= kFuseInput;
  if (kind != Kind::kFewChannels) fusions |= kNeedsGradient;
  return fusions;
}

Status conv2d_prepare(const Context& context, const Conv2dShape& s, const float* weight, float* prepared) {
  return fits_3x3(context, s) ? pack_3x3(context, correlation_3x3(s), false, weight, prepared) : kOk;
}

size_t conv2d_prepared_bytes(const Context& context, const Conv2dShape& s) {
  return fits_3x3(context, s) ? packed_3x3_bytes(context, correlation_3x3(s)) : 0;
}

Status conv2d_fused(const Context& context, const Conv2dShape& s, const float* x, const ScaleShift& input,
                    const float* weight, const float* prepared, const float* bias, const Conv2dEpilogue& epilogue,
                    float* y) {
  return forward(context, s, x, input, weight, prepared, bias, epilogue, y);
}

Status conv2d_backward_input_fused(const Context& context, const Conv2dShape& s, const float* dy,
                                   const float* weight, const BatchNormReduction& reduction, float* dx) {
  return backward_input(context, s, dy, weight, &reduction, dx);
}

Status conv2d_backward_weight_fused(const Context& context, const Conv2dShape& s, const Conv2dGradient& gradient,
                                    const float* x, const ScaleShift& input, float* dweight, float* dbias) {
  return backward_weight(context, s, gradient, x, input, dweight, dbias);
}

}  // namespace pyconv::cuda
