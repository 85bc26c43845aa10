// Which algorithm computes a convolution: the only place that chooses, by the shape and by what was asked for.
#include "conv2d.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {
namespace {

// The cost of Winograd's F(out x out, 3 x 3), in products for each pixel of the target and pair of channels, of
// which direct convolution takes 9. Measured on Zen 4 (docs/performance.md): transforming the image costs a third
// of the products, transforming the weights as much as some products for each plane.
double winograd_cost(const Conv2dShape& s, Conv2dPass pass, int64_t out, bool prepared) {
  const bool input = pass == Conv2dPass::kBackwardInput;
  const int64_t H = input ? s.H : s.OH, W = input ? s.W : s.OW, planes = (out + 2) * (out + 2);
  const double products = static_cast<double>(s.N * ceil_div(H, out) * ceil_div(W, out) * planes);
  const double weights =
      prepared ? 0 : static_cast<double>(planes) * (pass == Conv2dPass::kBackwardWeight ? 64 : 33);
  return ((out == 4 ? 1.35 : 1.2) * products + weights) / static_cast<double>(max(1, s.N * H * W));
}

const Algorithm& fastest(const Conv2dShape& s, Conv2dPass pass, bool prepared) {
  if (kDepthwise.fits(s)) return kDepthwise;
  if (kWinogradF4x4.fits(s) && min(s.C_in, s.C_out) >= 16) {
    const double f4 = winograd_cost(s, pass, 4, prepared), f2 = winograd_cost(s, pass, 2, prepared);
    if (f4 < 9 || f2 < 9) return f4 <= f2 ? kWinogradF4x4 : kWinogradF2x2;
  }
  // Below a vector's worth of channels the inner loop over one tap is too short: copy taps together.
  const int64_t source = (pass == Conv2dPass::kBackwardInput ? s.C_out : s.C_in) / s.groups;
  if (source >= 8 || s.KH * s.KW == 1) return kDirect;
  return pass == Conv2dPass::kForward && kFewChannels.fits(s) ? kFewChannels : kIm2col;
}

// Null where the algorithm that was asked for does not fit the shape.
const Algorithm* choose(const Context& context, const Conv2dShape& s, Conv2dPass pass, bool prepared = false) {
  const Algorithm* asked = nullptr;
  switch (context.algorithm) {
    case Conv2dAlgorithm::kAuto:
      return &fastest(s, pass, prepared);
    case Conv2dAlgorithm::kDirect:
      asked = &kDirect;
      break;
    case Conv2dAlgorithm::kGemm:
      asked = &kIm2col;
      break;
    case Conv2dAlgorithm::kWinogradF2x2:
      asked = &kWinogradF2x2;
      break;
    case Conv2dAlgorithm::kWinogradF4x4:
      asked = &kWinogradF4x4;
      break;
  }
  return asked->fits(s) ? asked : nullptr;
}

constexpr Status kUnfit{
    "algorithm winograd needs a 3x3 kernel, stride 1, dilation 1, groups 1 and padding of at most 2"};

Status forward(const Context& context, const Conv2dShape& s, const ForwardPass& pass) {
  const Algorithm* algorithm = choose(context, s, Conv2dPass::kForward, pass.prepared);
  if (!algorithm) return kUnfit;
  algorithm->forward(context, s, pass);
  return kOk;
}

Status backward_input(const Context& context, const Conv2dShape& s, const BackwardInputPass& pass) {
  const Algorithm* algorithm = choose(context, s, Conv2dPass::kBackwardInput);
  if (!algorithm) return kUnfit;
  algorithm->backward_input(context, s, pass);
  return kOk;
}

Status backward_weight(const Context& context, const Conv2dShape& s, const BackwardWeightPass& pass) {
  const Algorithm* algorithm = choose(context, s, Conv2dPass::kBackwardWeight);
  if (!algorithm) return kUnfit;
  algorithm->backward_weight(context, s, pass);
  return kOk;
}

}  // namespace

Status conv2d(const Context& context, const Conv2dShape& s, const float* x, const float* weight, const float* bias,
              float* y) {
  return forward(context, s, {x, weight, bias, y});
}

Status conv2d_backward_input(const Context& context, const Conv2dShape& s, const float* dy, const float* weight,
                             float* dx) {
  return backward_input(context, s, {dy, weight, dx});
}

Status conv2d_backward_weight(const Context& context, const Conv2dShape& s, const float* dy, const float* x,
                              float* dweight, float* dbias) {
  Conv2dGradient gradient{};
  gradient.d = dy;
  return backward_weight(context, s, {gradient, x, dweight, dbias});
}

size_t conv2d_workspace(const Context& context, const Conv2dShape& s, Conv2dPass pass) {
  const Algorithm* algorithm = choose(context, s, pass, context.weights_are_prepared);
  return algorithm ? algorithm->workspace(s, pass) : 0;
}

// ---- fused

uint32_t conv2d_fusions(const Context& context, const Conv2dShape& s) {
  const auto fusions_of = [&](Conv2dPass pass) {
    const Algorithm* algorithm = choose(context, s, pass, context.weights_are_prepared);
    return algorithm && s.groups == 1 ? algorithm->fusions : 0;
  };
  const uint32_t forward = fusions_of(Conv2dPass::kForward), weight = fusions_of(Conv2dPass::kBackwardWeight);
  uint32_t fusions = forward & kFuseEpilogue;
  if (s.OH % 2 == 0 && s.OW % 2 == 0) fusions |= forward & kFusePool;
  fusions |= forward & weight & kFuseInput;
  fusions |= fusions_of(Conv2dPass::kBackwardInput) & kFuseReduction;
  return fusions | (weight & kFuseGradient);
}

Status conv2d_prepare(const Context& context, const Conv2dShape& s, const float* weight, float* prepared) {
  const Algorithm* algorithm = choose(context, s, Conv2dPass::kForward, true);
  if (!algorithm || !algorithm->prepare) return kUnfit;
  algorithm->prepare(context, s, weight, prepared);
  return kOk;
}

size_t conv2d_prepared_bytes(const Context& context, const Conv2dShape& s) {
  const Algorithm* algorithm = choose(context, s, Conv2dPass::kForward, true);
  return algorithm && algorithm->prepare ? algorithm->prepared_bytes(s) : 0;
}

Status conv2d_fused(const Context& context, const Conv2dShape& s, const float* x, const ScaleShift& input,
                    const float* weight, const float* prepared, const float* bias, const Conv2dEpilogue& epilogue,
                    float* y) {
  return forward(context, s, {x, weight, bias, y, input, prepared, epilogue});
}

Status conv2d_backward_input_fused(const Context& context, const Conv2dShape& s, const float* dy,
                                   const float* weight, const BatchNormReduction& reduction, float* dx) {
  return backward_input(context, s, {dy, weight, dx, reduction});
}

Status conv2d_backward_weight_fused(const Context& context, const Conv2dShape& s, const Conv2dGradient& gradient,
                                    const float* x, const ScaleShift& input, float* dweight, float* dbias) {
  return backward_weight(context, s, {gradient, x, dweight, dbias, input});
}

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
