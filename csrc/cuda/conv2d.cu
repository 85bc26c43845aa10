// Convolution and its gradients: which algorithm takes a call, and what comes before and after it. No kernels.
#include "conv2d.cuh"
#include "conv2d_epilogue.cuh"
#include "conv2d_gradient.cuh"

namespace pyconv::cuda {

namespace {

constexpr Status kNotFused{"this shape, or arrays that are not aligned to 16 bytes, cannot be fused"};

// The first one that fits takes a call.
const Algorithm* const kAlgorithms[] = {&kDepthwise, &k3x3, &kFewChannels, &kGeneral};

bool fits(const Algorithm& a, const Context& context, const Conv2dShape& s, Conv2dPass pass) {
  const bool computes = pass == Conv2dPass::kForward         ? a.forward != nullptr
                        : pass == Conv2dPass::kBackwardInput ? a.backward_input != nullptr
                                                             : a.backward_weight != nullptr;
  return computes && a.fits(context, s);
}

// `in_vectors`: whether the call's arrays are vectors of 16 bytes.
const Algorithm& choose(const Context& context, const Conv2dShape& s, Conv2dPass pass, bool in_vectors = true) {
  for (const Algorithm* algorithm : kAlgorithms)
    if (fits(*algorithm, context, s, pass) && (in_vectors || !algorithm->in_vectors)) return *algorithm;
  return kGeneral;
}

// Of a forward pass or an input gradient. There is room for each algorithm that fits: which one takes a call
// depends on its arrays, too. Without memory, `bytes` are counted.
struct Workspace {
  double* parts;  // of the sums that are taken of what is written
  void* scratch;
  size_t bytes;

  Workspace(const Context& context, const Conv2dShape& s, Conv2dPass pass) {
    constexpr size_t kAlignment = 256;
    const bool forward = pass == Conv2dPass::kForward;
    const int64_t M = forward ? s.N * s.OH * s.OW : s.N * s.H * s.W, C = forward ? s.C_out : s.C_in;
    size_t parts_bytes = batch_norm_parts_bytes(M, C), scratch_bytes = 0;
    const auto raise = [](size_t& to, size_t wanted) { to = wanted > to ? wanted : to; };
    for (const Algorithm* a : kAlgorithms) {
      if (!fits(*a, context, s, pass)) continue;
      if (a->parts)
        raise(parts_bytes, static_cast<size_t>(a->parts(s, pass) * Moments::kNumbers * C) * sizeof(double));
      if (a->scratch_bytes) raise(scratch_bytes, a->scratch_bytes(context, s, pass));
    }
    parts_bytes = ceil_div(parts_bytes, kAlignment) * kAlignment;
    parts = static_cast<double*>(context.workspace);
    scratch = context.workspace ? static_cast<char*>(context.workspace) + parts_bytes : nullptr;
    bytes = parts_bytes + scratch_bytes;
  }
};

Status forward(const Context& context, const Conv2dShape& s, const ForwardPass& pass, const float* bias,
               const Conv2dEpilogue& epilogue, float* y) {
  const bool in_vectors =
      is_aligned(pass.x) && is_aligned(y) && is_aligned(epilogue.pooled) && is_aligned(pass.prepared);
  const Algorithm& algorithm = choose(context, s, Conv2dPass::kForward, in_vectors);
  if (pass.input.scale && !(algorithm.fusions & kFuseInput)) return kNotFused;
  if (epilogue.pooled && !(algorithm.fusions & kFusePool)) return kNotFused;
  const Workspace workspace(context, s, Conv2dPass::kForward);
  const Epilogue ending = epilogue_of(bias, epilogue, y, workspace.parts);
  const Status status = algorithm.forward(context, s, pass, ending, workspace.scratch);
  if (status.message || !epilogue.statistics.mean) return status;
  const int64_t M = s.N * s.OH * s.OW;
  if (!algorithm.parts) return reduce_statistics(context, M, s.C_out, y, epilogue.statistics, workspace.parts);
  const int parts = algorithm.parts(s, Conv2dPass::kForward);
  return merge_statistics(context, M, s.C_out, workspace.parts, parts, epilogue.statistics);
}

// reduction: null for none.
Status backward_input(const Context& context, const Conv2dShape& s, const float* dy, const float* weight,
                      const BatchNormReduction* reduction, float* dx) {
  const bool in_vectors = is_aligned(dy) && is_aligned(dx) && is_aligned(reduction ? reduction->x : nullptr);
  const Algorithm& algorithm = choose(context, s, Conv2dPass::kBackwardInput, in_vectors);
  const Workspace workspace(context, s, Conv2dPass::kBackwardInput);
  Epilogue ending;
  ending.y = dx;
  if (reduction && algorithm.parts) ending = epilogue_of(*reduction, dx, workspace.parts);
  const Status status = algorithm.backward_input(context, s, dy, weight, ending, workspace.scratch);
  if (status.message || !reduction) return status;
  if (!algorithm.parts) return reduce_gradients(context, s.N * s.H * s.W, s.C_in, dx, *reduction, workspace.parts);
  const int parts = algorithm.parts(s, Conv2dPass::kBackwardInput);
  return merge_gradients(context, s.C_in, workspace.parts, parts, *reduction);
}

Status backward_weight(const Context& context, const Conv2dShape& s, const Conv2dGradient& gradient,
                       const float* x, const ScaleShift& input, float* dweight, float* dbias) {
  Conv2dGradient read = gradient;  // by the algorithm
  if (gradient.dy) {
    const Status status = make_gradient(context, s, gradient);
    if (status.message) return status;
    read = {};
    read.d = gradient.dy;
  }
  // A first layer's few channels are read one by one.
  const bool in_vectors = is_aligned(read) && (kFewChannels.fits(context, s) || is_aligned(x));
  const Algorithm& algorithm = choose(context, s, Conv2dPass::kBackwardWeight, in_vectors);
  if (is_made(read) && (algorithm.fusions & kNeedsGradient)) return kNotFused;
  if (input.scale && !(algorithm.fusions & kFuseInput)) return kNotFused;
  auto* sums = static_cast<float*>(context.workspace);
  const Status status = algorithm.backward_weight(context, s, read, x, input, sums);
  if (status.message) return status;
  return add_weight_parts(context, s, algorithm.weight_parts(s), sums, dweight, dbias);
}

}  // namespace

size_t conv2d_workspace(const Context& context, const Conv2dShape& s, Conv2dPass pass) {
  Context counting = context;
  counting.workspace = nullptr;
  if (pass != Conv2dPass::kBackwardWeight) return Workspace(counting, s, pass).bytes;
  int64_t parts = 0;
  for (const Algorithm* a : kAlgorithms)
    if (fits(*a, context, s, pass) && a->weight_parts(s) > parts) parts = a->weight_parts(s);
  return static_cast<size_t>(parts * (s.KH * s.KW * (s.C_in / s.groups) + 1) * s.C_out) * sizeof(float);
}

Status conv2d(const Context& context, const Conv2dShape& s, const float* x, const float* weight, const float* bias,
              float* y) {
  return forward(context, s, {x, {}, weight, nullptr}, bias, {}, y);
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

uint32_t conv2d_fusions(const Context& context, const Conv2dShape& s) {
  // Where a kernel cannot take these along, a pass over memory comes after it: still fewer than the plain calls'.
  uint32_t fusions = kFuseEpilogue | kFuseReduction | kFuseGradient;
  fusions |= choose(context, s, Conv2dPass::kForward).fusions;
  return s.OH % 2 || s.OW % 2 ? fusions & ~uint32_t{kFusePool} : fusions;
}

Status conv2d_prepare(const Context& context, const Conv2dShape& s, const float* weight, float* prepared) {
  const Algorithm& algorithm = choose(context, s, Conv2dPass::kForward);
  return algorithm.prepare ? algorithm.prepare(context, s, weight, prepared) : kOk;
}

size_t conv2d_prepared_bytes(const Context& context, const Conv2dShape& s) {
  const Algorithm& algorithm = choose(context, s, Conv2dPass::kForward);
  return algorithm.prepare ? algorithm.prepared_bytes(context, s) : 0;
}

Status conv2d_fused(const Context& context, const Conv2dShape& s, const float* x, const ScaleShift& input,
                    const float* weight, const float* prepared, const float* bias, const Conv2dEpilogue& epilogue,
                    float* y) {
  return forward(context, s, {x, input, weight, prepared}, bias, epilogue, y);
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
