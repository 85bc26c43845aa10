// What the kernels of 3x3 convolutions with stride 1 share (tf32 and bfloat16, on the tensor cores): their sizes.
#pragma once

#include "conv2d.cuh"

namespace pyconv::cuda {

// A correlation of x (N, H, W, C) with weight (3, 3, C, K): y (N, OH, OW, K), its window starting at -pad.
// Sizes in 32 bits: registers are what a tile of products is short of.
struct Correlation3x3 {
  int32_t N, H, W, C, OH, OW, K, pad_top, pad_left;
};

Correlation3x3 correlation_3x3(const Conv2dShape&);
// The one that makes dx of dy.
Correlation3x3 correlation_3x3_of_gradient(const Conv2dShape&);

// Whether the sizes are of a 3x3 window with stride 1 that these kernels take, of 16 channels and more.
bool fits_3x3(const Context&, const Conv2dShape&);

// ---- conv2d_3x3_weight.cu: for the table's row
Status backward_weight_3x3(const Context&, const Conv2dShape&, const Conv2dGradient&, const float* x,
                           const ScaleShift& input, float* sums);
int64_t weight_parts_3x3(const Conv2dShape&);

}  // namespace pyconv::cuda
