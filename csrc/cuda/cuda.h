// What every CUDA kernel file includes: the entries, the device and its launches.
#pragma once

#include <cmath>

#include "../entries.h"
#include "runtime.h"

namespace pyconv::cuda {

PYCONV_KERNELS(PYCONV_DECLARE_ENTRY)
PYCONV_FUSED_KERNELS(PYCONV_DECLARE_FUSED_ENTRY)

namespace {

// Calls function with a data set's pixels as what they are.
template <class Function>
Status with_pixels(DType type, const void* source, const Function& function) {
  return type == DType::kUint8 ? function(static_cast<const uint8_t*>(source))
                               : function(static_cast<const float*>(source));
}

}  // namespace

}  // namespace pyconv::cuda
