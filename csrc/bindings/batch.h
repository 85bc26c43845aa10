// Checks that gather and affine share: a batch picked from a source by index.
#pragma once

#include "call.h"

namespace pyconv {

// Checks source, scale, shift and index against `N` picked examples; index entries only when the call runs at
// once, since a recorded program reads them later.
inline void check_batch(const char* op, const Tensor& source, const OptionalTensor& index,
                        const OptionalTensor& scale, const OptionalTensor& shift, int64_t N) {
  if (source.dtype != DType::kUint8) check_dtype(op, "source", source, DType::kFloat32);
  const int64_t M = source.shape[0], C = source.shape.back();
  check_shape(op, "scale", scale, {C});
  check_shape(op, "shift", shift, {C});
  if (!index) {
    if (N > M) fail(op, "source has ", M, " examples, expected at least ", N);
    return;
  }
  check_shape(op, "index", *index, {N}, DType::kInt32);
  if (Program::recording()) return;
  const Tensor entries = on_host(*index);
  for (int64_t n = 0; n < N; ++n)
    if (const int32_t i = entries.as<int32_t>()[n]; i < 0 || i >= M)
      fail(op, "index[", n, "] is ", i, ", expected an example of source, in [0, ", M, ")");
}

}  // namespace pyconv
