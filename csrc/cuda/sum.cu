// Sum and sum of squares in double precision, by one block: losses and weights are few beside a step's
// activations.
#include "cuda.h"

namespace pyconv::cuda {

namespace {

template <bool kSquares>
struct Sum {
  static constexpr int kThreads = 1024;
  int64_t size;
  float scale;
  const float* x;
  double* total;
  PYCONV_DEVICE void operator()() const {
    constexpr int kAtOnce = 8;  // loads on their way together
    double sum = 0;
    for (int64_t first = thread_index(); first < size; first += kAtOnce * kThreads) {
      float values[kAtOnce];
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
        const int64_t i = first + k * kThreads;
        values[k] = i < size ? x[i] : 0;
      }
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) sum += kSquares ? double{values[k]} * values[k] : double{values[k]};
    }
    sum = block_sum<kThreads>(sum);
    if (thread_index() == 0) *total += scale * sum;
  }
};

template <bool kSquares>
Status accumulate(const Context& context, int64_t size, float scale, const float* x, double* total) {
  using Kernel = Sum<kSquares>;
  return launch(context, Kernel{size, scale, x, total}, {1}, Kernel::kThreads / kWarp * sizeof(double));
}

}  // namespace

Status sum(const Context& context, int64_t size, float scale, const float* x, double* total) {
  return accumulate<false>(context, size, scale, x, total);
}

Status sum_of_squares(const Context& context, int64_t size, float scale, const float* x, double* total) {
  return accumulate<true>(context, size, scale, x, total);
}

}  // namespace pyconv::cuda
