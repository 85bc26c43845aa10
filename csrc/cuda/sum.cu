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
    double sum = 0;
    for (int64_t i = thread_index(); i < size; i += kThreads) sum += kSquares ? double{x[i]} * x[i] : double{x[i]};
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
