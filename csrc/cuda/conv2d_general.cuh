// Convolutions of any kernel, stride, padding, dilation and groups, as implicit matrix products; and depthwise
// ones, which no matrix product is good for.
#pragma once

#include "conv2d_epilogue.cuh"

namespace pyconv::cuda {

// Of the epilogue: bias, ReLU, output, y. sums: bytes as given.
size_t forward_general_bytes(const Conv2dShape&);
Status forward_general(const Context&, const Conv2dShape&, const float* x, const float* weight, const Epilogue&,
                       float* sums);
Status backward_input_general(const Context&, const Conv2dShape&, const float* dy, const float* weight, float* dx);

// sums (parts, groups, KH * KW * C_in / groups + 1, C_out / groups): dweight, and dbias in the last row, of each
// part of the pixels.
int64_t backward_weight_general_parts(const Conv2dShape&);
Status backward_weight_general(const Context&, const Conv2dShape&, const float* dy, const float* x, float* sums);

// ---- conv2d_depthwise.cu: one channel a group. float32 in every precision: memory bounds it.
bool fits_depthwise(const Conv2dShape&);
Status forward_depthwise(const Context&, const Conv2dShape&, const float* x, const float* weight, const Epilogue&);
Status backward_input_depthwise(const Context&, const Conv2dShape&, const float* dy, const float* weight,
                                float* dx);
int64_t backward_weight_depthwise_parts(const Conv2dShape&);
Status backward_weight_depthwise(const Context&, const Conv2dShape&, const float* dy, const float* x, float* sums);

}  // namespace pyconv::cuda
