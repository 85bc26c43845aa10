// Which algorithm computes a convolution: the only place that chooses, by shape and by what was asked for.
#include "conv2d.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {
namespace {

enum class Choice { kDirect, kIm2col, kFewChannels, kDepthwise, kWinogradF2, kWinogradF4, kUnfit };

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

Choice choose(const Context& context, const Conv2dShape& s, Conv2dPass pass, bool prepared = false) {
  switch (context.algorithm) {
    case Conv2dAlgorithm::kDirect:
      return Choice::kDirect;
    case Conv2dAlgorithm::kGemm:
      return Choice::kIm2col;
    case Conv2dAlgorithm::kWinogradF2x2:
      return fits_winograd(s) ? Choice::kWinogradF2 : Choice::kUnfit;
    case Conv2dAlgorithm::kWinogradF4x4:
      return fits_winograd(s) ? Choice::kWinogradF4 : Choice::kUnfit;
    case Conv2dAlgorithm::kAuto:
      break;
  }
  if (s.groups == s.C_in && s.groups == s.C_out && s.groups > 1) return Choice::kDepthwise;
  if (fits_winograd(s) && min(s.C_in, s.C_out) >= 16) {
    const double f4 = winograd_cost(s, pass, 4, prepared), f2 = winograd_cost(s, pass, 2, prepared);
    if (f4 < 9 || f2 < 9) return f4 <= f2 ? Choice::kWinogradF4 : Choice::kWinogradF2;
  }
  // Below a vector's worth of channels the inner loop over one tap is too short: copy taps together.
  const int64_t source = (pass == Conv2dPass::kBackwardInput ? s.C_out : s.C_in) / s.groups;
  if (source >= 8 || s.KH * s.KW == 1) return Choice::kDirect;
  return pass == Conv2dPass::kForward && few_channels::fits(s) ? Choice::kFewChannels : Choice::kIm2col;
}

constexpr Status kUnfit{
    "algorithm winograd needs a 3x3 kernel, stride 1, dilation 1, groups 1 and padding of at most 2"};

int tile_size(Choice choice) {
  return choice == Choice::kWinogradF4 ? 4 : 2;
}

Status forward(const Context& context, const Conv2dShape& s, const ForwardPass& pass) {
  const Choice choice = choose(context, s, Conv2dPass::kForward, pass.prepared);
  switch (choice) {
    case Choice::kDirect:
      return direct::forward(context, s, pass);
    case Choice::kIm2col:
      return im2col::forward(context, s, pass);
    case Choice::kFewChannels:
      return few_channels::forward(context, s, pass);
    case Choice::kDepthwise:
      return depthwise::forward(context, s, pass);
    case Choice::kWinogradF2:
    case Choice::kWinogradF4:
      return winograd::forward(context, s, tile_size(choice), pass);
    case Choice::kUnfit:
      break;
  }
  return kUnfit;
}

Status backward_input(const Context& context, const Conv2dShape& s, const BackwardInputPass& pass) {
  const Choice choice = choose(context, s, Conv2dPass::kBackwardInput);
  switch (choice) {
    case Choice::kDirect:
      return direct::backward_input(context, s, pass);
    case Choice::kIm2col:
      return im2col::backward_input(context, s, pass);
    case Choice::kDepthwise:
      return depthwise::backward_input(context, s, pass);
    case Choice::kWinogradF2:
    case Choice::kWinogradF4:
      return winograd::backward_input(context, s, tile_size(choice), pass);
    case Choice::kFewChannels:
    case Choice::kUnfit:
      break;
  }
  return kUnfit;
}

Status backward_weight(const Context& context, const Conv2dShape& s, const BackwardWeightPass& pass) {
  const Choice choice = choose(context, s, Conv2dPass::kBackwardWeight);
  switch (choice) {
    case Choice::kDirect:
      return direct::backward_weight(context, s, pass);
    case Choice::kIm2col:
      return im2col::backward_weight(context, s, pass);
    case Choice::kDepthwise:
      return depthwise::backward_weight(context, s, pass);
    case Choice::kWinogradF2:
    case Choice::kWinogradF4:
      return winograd::backward_weight(context, s, tile_size(choice), pass);
    case Choice::kFewChannels:
    case Choice::kUnfit:
      break;
  }
  return kUnfit;
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
  const Choice choice = choose(context, s, pass, context.weights_are_prepared);
  switch (choice) {
    case Choice::kDirect:
    case Choice::kIm2col:
    case Choice::kFewChannels:
      return packed_workspace(s, pass);
    case Choice::kDepthwise:
      return depthwise::workspace(s, pass);
    case Choice::kWinogradF2:
    case Choice::kWinogradF4:
      return winograd::workspace(s, tile_size(choice), pass);
    case Choice::kUnfit:
      break;
  }
  return 0;
}

// ---- fused

uint32_t conv2d_fusions(const Context& context, const Conv2dShape& s) {
  const auto is_winograd = [&](Conv2dPass pass) {
    const Choice choice = choose(context, s, pass, context.weights_are_prepared);
    return choice == Choice::kWinogradF2 || choice == Choice::kWinogradF4;
  };
  const bool forward_winograd = is_winograd(Conv2dPass::kForward);
  if (s.groups > 1 || choose(context, s, Conv2dPass::kForward, context.weights_are_prepared) == Choice::kUnfit)
    return 0;
  uint32_t fusions = kFuseEpilogue | kFuseReduction | kFuseGradient;
  if (forward_winograd && s.OH % 2 == 0 && s.OW % 2 == 0) fusions |= kFusePool;
  if (forward_winograd && is_winograd(Conv2dPass::kBackwardWeight)) fusions |= kFuseInput;
  return fusions;
}

Status conv2d_prepare(const Context& context, const Conv2dShape& s, const float* weight, float* prepared) {
  const Choice choice = choose(context, s, Conv2dPass::kForward, true);
  switch (choice) {
    case Choice::kDirect:
    case Choice::kIm2col:
    case Choice::kFewChannels:
      prepare_packed(context, s, weight, prepared);
      return kOk;
    case Choice::kWinogradF2:
    case Choice::kWinogradF4:
      winograd::prepare(s, tile_size(choice), weight, prepared);
      return kOk;
    case Choice::kDepthwise:
    case Choice::kUnfit:
      break;
  }
  return kUnfit;
}

size_t conv2d_prepared_bytes(const Context& context, const Conv2dShape& s) {
  const Choice choice = choose(context, s, Conv2dPass::kForward, true);
  switch (choice) {
    case Choice::kDirect:
    case Choice::kIm2col:
    case Choice::kFewChannels:
      return packed_bytes(s);
    case Choice::kWinogradF2:
    case Choice::kWinogradF4:
      return winograd::prepared_bytes(s, tile_size(choice));
    case Choice::kDepthwise:
    case Choice::kUnfit:
      break;
  }
  return 0;
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
