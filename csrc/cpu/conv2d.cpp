// Which algorithm computes a convolution: the only place that chooses, by shape and by what was asked for.
#include "conv2d.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {
namespace {

enum class Choice { kDirect, kIm2col, kDepthwise };

Choice choose(const Context& context, const Conv2dShape& s, Conv2dPass pass) {
  if (context.algorithm == Conv2dAlgorithm::kDirect) return Choice::kDirect;
  if (context.algorithm == Conv2dAlgorithm::kGemm) return Choice::kIm2col;
  if (s.groups == s.C_in && s.groups == s.C_out && s.groups > 1) return Choice::kDepthwise;
  // Below a vector's worth of channels the inner loop over one tap is too short: copy taps together.
  const int64_t source = (pass == Conv2dPass::kBackwardInput ? s.C_out : s.C_in) / s.groups;
  return source < 8 && s.KH * s.KW > 1 ? Choice::kIm2col : Choice::kDirect;
}

}  // namespace

Status conv2d(const Context& context, const Conv2dShape& s, const float* x, const float* weight, const float* bias,
              float* y) {
  switch (choose(context, s, Conv2dPass::kForward)) {
    case Choice::kDepthwise:
      return depthwise::forward(context, s, x, weight, bias, y);
    case Choice::kIm2col:
      return im2col::forward(context, s, x, weight, bias, y);
    default:
      return direct::forward(context, s, x, weight, bias, y);
  }
}

Status conv2d_backward_input(const Context& context, const Conv2dShape& s, const float* dy, const float* weight,
                             float* dx) {
  switch (choose(context, s, Conv2dPass::kBackwardInput)) {
    case Choice::kDepthwise:
      return depthwise::backward_input(context, s, dy, weight, dx);
    case Choice::kIm2col:
      return im2col::backward_input(context, s, dy, weight, dx);
    default:
      return direct::backward_input(context, s, dy, weight, dx);
  }
}

Status conv2d_backward_weight(const Context& context, const Conv2dShape& s, const float* dy, const float* x,
                              float* dweight, float* dbias) {
  switch (choose(context, s, Conv2dPass::kBackwardWeight)) {
    case Choice::kDepthwise:
      return depthwise::backward_weight(context, s, dy, x, dweight, dbias);
    case Choice::kIm2col:
      return im2col::backward_weight(context, s, dy, x, dweight, dbias);
    default:
      return direct::backward_weight(context, s, dy, x, dweight, dbias);
  }
}

size_t conv2d_workspace(const Context& context, const Conv2dShape& s, Conv2dPass pass) {
  return choose(context, s, pass) == Choice::kDepthwise ? depthwise::workspace(s, pass)
                                                        : packed_workspace(s, pass);
}

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
