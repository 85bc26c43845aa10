// 3x3 convolutions with stride 1 on the tensor cores (tf32, bfloat16), for conv2d.cu to choose.
#pragma once

#include "cuda.h"

namespace pyconv::cuda {

// A correlation of x (N, H, W, C) with weight (3, 3, C, K): y (N, OH, OW, K), its window starting at -pad.
// Sizes in 32 bits: registers are what a tile of products is short of.
struct Correlation3x3 {
  int32_t N, H, W, C, OH, OW, K, pad_top, pad_left;
};

Correlation3x3 correlation_3x3(const Conv2dShape&);

// Whether the kernels below take the shape, the precision and the arrays: whole vectors of 16 bytes.
bool fits_3x3(const Context&, const Conv2dShape&, const void* a, const void* b, const void* c);

Status correlate_3x3(const Context&, const Correlation3x3&, const float* x, const float* weight, const float* bias,
                     float* y);
// turned (3, 3, C_out, C_in): what correlate_3x3 makes dx of dy with.
Status turn_3x3(const Context&, const Conv2dShape&, const float* weight, float* turned);

// sums (parts, 9 * C_in + 1, C_out): dweight, and dbias in the last row, of each part of the pixels.
int64_t backward_weight_3x3_parts(const Conv2dShape&);
Status backward_weight_3x3(const Context&, const Conv2dShape&, const float* dy, const float* x, float* sums);

}  // namespace pyconv::cuda
