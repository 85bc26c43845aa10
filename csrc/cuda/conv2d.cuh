// What the chooser (conv2d.cu) and the algorithms know of each other: the table's row that an algorithm fills in.
#pragma once

#include "cuda.h"

namespace pyconv::cuda {

struct Epilogue;  // conv2d_epilogue.cuh

struct ForwardPass {
  const float* x;
  ScaleShift input;
  const float *weight, *prepared;  // prepared null: made of weight
};

// An algorithm. What it does not do stays null.
struct Algorithm {
  bool (*fits)(const Context&, const Conv2dShape&);
  bool in_vectors;  // whether arrays have to be vectors of 16 bytes
  // Conv2dFusion: kFusePool, kFuseInput and kNeedsGradient, as the algorithm has it. The rest any of them does,
  // with a pass over memory where need be.
  uint32_t fusions;

  // The epilogue writes y, or dx. `scratch` has the bytes that scratch_bytes (null: none) asks for.
  Status (*forward)(const Context&, const Conv2dShape&, const ForwardPass&, const Epilogue&, void* scratch);
  Status (*backward_input)(const Context&, const Conv2dShape&, const float* dy, const float* weight,
                           const Epilogue&, void* scratch) = nullptr;
  size_t (*scratch_bytes)(const Context&, const Conv2dShape&, Conv2dPass) = nullptr;
  // How many parts of the epilogue's sums these two write. Null: they take no sums, a pass over memory does.
  int (*parts)(const Conv2dShape&, Conv2dPass) = nullptr;

  // sums (weight_parts, groups, KH * KW * C_in / groups + 1, C_out / groups): dweight, and dbias in the last row,
  // of each part of the pixels. dy is gradient.d, or, without kNeedsGradient, made from what gradient says.
  Status (*backward_weight)(const Context&, const Conv2dShape&, const Conv2dGradient& gradient, const float* x,
                            const ScaleShift& input, float* sums);
  int64_t (*weight_parts)(const Conv2dShape&);

  // Weights made ready for many calls of forward. Null: there is nothing to prepare.
  size_t (*prepared_bytes)(const Context&, const Conv2dShape&) = nullptr;
  Status (*prepare)(const Context&, const Conv2dShape&, const float* weight, void* prepared) = nullptr;
};

// 3x3 windows with stride 1 on the tensor cores, of 16 channels and more, and of a first layer's 1 to 3; one
// channel a group, float32 in every precision, since memory bounds it; any convolution. Each in the file of its
// name.
extern const Algorithm k3x3, kFewChannels, kDepthwise, kGeneral;

// ---- conv2d_weight.cu: what comes before and after every algorithm's weight gradient
// gradient.dy, written.
Status make_gradient(const Context&, const Conv2dShape&, const Conv2dGradient& gradient);
// From the parts' sums to dweight and dbias (may be null).
Status add_weight_parts(const Context&, const Conv2dShape&, int64_t parts, const float* sums, float* dweight,
                        float* dbias);

}  // namespace pyconv::cuda
