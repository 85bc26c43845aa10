// What softmax and softmax_cross_entropy share: a warp takes a row.
#pragma once

#include "cuda.h"

namespace pyconv::cuda {
namespace {

constexpr int kRowThreads = 128, kRowsPerBlock = kRowThreads / kWarp;

inline Grid row_grid(int64_t rows) {
  return {ceil_div(rows, kRowsPerBlock)};
}
PYCONV_DEVICE int64_t row_index() {
  return block_index() * kRowsPerBlock + warp_index();
}

// The largest of a row; NaN is passed over.
PYCONV_DEVICE float row_max(int64_t K, const float* x) {
  float largest = bits_as_float(0xff800000u);
  for (int64_t k = lane_index(); k < K; k += kWarp) largest = x[k] > largest ? x[k] : largest;
  for (int mask = kWarp / 2; mask; mask /= 2) largest = maximum(largest, shuffle_xor(largest, mask));
  return largest;
}

// The sum of e^(x - shift), in double: in a confident row the largest is 1 and the others are the loss.
PYCONV_DEVICE double row_sum_of_exponentials(int64_t K, const float* x, float shift) {
  double sum = 0;
  for (int64_t k = lane_index(); k < K; k += kWarp) sum += expf(x[k] - shift);
  return warp_sum(sum);
}

}  // namespace
}  // namespace pyconv::cuda
