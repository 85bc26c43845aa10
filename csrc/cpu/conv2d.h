// What the chooser (conv2d.cpp) and the algorithms know of each other: the arguments of a convolution's three
// passes, and the table's row that an algorithm fills in.
#pragma once

#include "cpu.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {

// The arguments of a pass, plain (all else at its default) or fused.
struct ForwardPass {
  const float* x;
  const float* weight;
  const float* bias;
  float* y;
  ScaleShift input{};
  const float* prepared = nullptr;
  Conv2dEpilogue epilogue{};
};
struct BackwardInputPass {
  const float* dy;
  const float* weight;
  float* dx;
  BatchNormReduction reduction{};  // mean null: none
};
struct BackwardWeightPass {
  Conv2dGradient gradient;
  const float* x;
  float* dweight;
  float* dbias;
  ScaleShift input{};
};

// An algorithm. A pass that it does not compute is null, and so is `prepare` where it prepares nothing.
struct Algorithm {
  bool (*fits)(const Conv2dShape&);
  void (*forward)(const Context&, const Conv2dShape&, const ForwardPass&);
  void (*backward_input)(const Context&, const Conv2dShape&, const BackwardInputPass&);
  void (*backward_weight)(const Context&, const Conv2dShape&, const BackwardWeightPass&);
  size_t (*workspace)(const Conv2dShape&, Conv2dPass);  // bytes
  size_t (*prepared_bytes)(const Conv2dShape&);
  void (*prepare)(const Context&, const Conv2dShape&, const float* weight, float* prepared);
  uint32_t fusions;  // Conv2dFusion: what its passes can take along
};

// Each in the file of its name.
extern const Algorithm kDirect, kIm2col, kFewChannels, kDepthwise, kWinogradF2x2, kWinogradF4x4;

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
