// A dense layer is a 1x1 convolution over a row of N pixels.
#include "cpu.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {
namespace {

Conv2dShape as_conv2d(const LinearShape& s) {
  Conv2dShape conv{};
  conv.N = conv.H = conv.OH = 1;
  conv.W = conv.OW = s.N;
  conv.C_in = s.C_in;
  conv.C_out = s.C_out;
  conv.KH = conv.KW = conv.stride_h = conv.stride_w = conv.dilation_h = conv.dilation_w = conv.groups = 1;
  return conv;
}

}  // namespace

Status linear(const Context& context, const LinearShape& s, const float* x, const float* weight, const float* bias,
              float* y) {
  return conv2d(context, as_conv2d(s), x, weight, bias, y);
}

Status linear_backward_input(const Context& context, const LinearShape& s, const float* dy, const float* weight,
                             float* dx) {
  return conv2d_backward_input(context, as_conv2d(s), dy, weight, dx);
}

Status linear_backward_weight(const Context& context, const LinearShape& s, const float* dy, const float* x,
                              float* dweight, float* dbias) {
  return conv2d_backward_weight(context, as_conv2d(s), dy, x, dweight, dbias);
}

size_t linear_workspace(const Context& context, const LinearShape& s, Conv2dPass pass) {
  return conv2d_workspace(context, as_conv2d(s), pass);
}

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
