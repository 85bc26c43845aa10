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
// The one that makes dx of dy.
Correlation3x3 correlation_3x3_of_gradient(const Conv2dShape&);

struct Epilogue;  // conv2d_epilogue.cuh

// Whether kernels of 3x3 windows take the sizes at all: conv2d_3x3.cu those with 16 channels and more,
// conv2d_few_channels.cu a first layer's 1 to 3. Arrays have to be vectors of 16 bytes (is_aligned).
bool fits_3x3(const Context&, const Conv2dShape&);
bool fits_few_channels(const Context&, const Conv2dShape&);

// ---- conv2d_3x3.cu
// Weights as the kernels read them; turned: (3, 3, C_out, C_in) of a gradient's correlation, made of the
// convolution's own.
size_t packed_3x3_bytes(const Context&, const Correlation3x3&);
Status pack_3x3(const Context&, const Correlation3x3&, bool turned, const float* weight, void* packed);
// Blocks along the pixels: each writes a part of the sums that the epilogue takes.
int parts_3x3(const Correlation3x3&);
Status correlate_3x3(const Context&, const Correlation3x3&, const float* x, const ScaleShift& input,
                     const void* packed, const Epilogue&);

// ---- conv2d_3x3_weight.cu
// sums (parts, 9 * C_in + 1, C_out): dweight, and dbias in the last row, of each part of the pixels.
int backward_weight_3x3_parts(const Correlation3x3&);
Status backward_weight_3x3(const Context&, const Correlation3x3&, const float* dy, const float* x,
                           const ScaleShift& input, float* sums);

// ---- conv2d_few_channels.cu: as above.
int parts_few_channels(const Correlation3x3&);
Status correlate_few_channels(const Context&, const Correlation3x3&, const float* x, const float* weight,
                              const Epilogue&);
int backward_weight_few_channels_parts(const Correlation3x3&);
Status backward_weight_few_channels(const Context&, const Correlation3x3&, const Conv2dGradient&, const float* x,
                                    float* sums);

}  // namespace pyconv::cuda
