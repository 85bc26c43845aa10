// What every CUDA kernel file includes: the entries, the device and its launches.
#pragma once

#include <cmath>

#include "../entries.h"
#include "../formulas.h"
#include "runtime.h"

namespace pyconv::cuda {

PYCONV_KERNELS(PYCONV_DECLARE_ENTRY)
PYCONV_FUSED_KERNELS(PYCONV_DECLARE_FUSED_ENTRY)

namespace {

// Element i of an (N, H, W, C) array.
template <class Index>
struct Element {
  Index n, h, w, c;
  PYCONV_DEVICE Element(Index i, int64_t H, int64_t W, int64_t C) {
    c = i % static_cast<Index>(C), i /= static_cast<Index>(C);
    w = i % static_cast<Index>(W), i /= static_cast<Index>(W);
    h = i % static_cast<Index>(H), n = i / static_cast<Index>(H);
  }
};

// scale_shift with a flag: a bound would take a register, which the products are short of.
PYCONV_DEVICE float scale_shift(float v, float scale, float shift, int32_t relu) {
  v = scale * v + shift;
  return relu && v < 0 ? 0 : v;
}

// Calls function with a data set's pixels as what they are.
template <class Function>
Status with_pixels(DType type, const void* source, const Function& function) {
  return type == DType::kUint8 ? function(static_cast<const uint8_t*>(source))
                               : function(static_cast<const float*>(source));
}

}  // namespace

}  // namespace pyconv::cuda
