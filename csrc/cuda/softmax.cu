// Softmax over the classes of each row, shifted by the row's maximum, and its gradient.
#include "softmax.cuh"

namespace pyconv::cuda {

namespace {

struct Softmax {
  static constexpr int kThreads = kRowThreads;
  ClassShape s;
  const float* x;
  float* y;
  PYCONV_DEVICE void operator()() const {
    const int64_t n = row_index();
    if (n >= s.N) return;
    const float* row = x + n * s.K;
    const float largest = row_max(s.K, row);
    const float sum = static_cast<float>(row_sum_of_exponentials(s.K, row, largest));
    for (int64_t k = lane_index(); k < s.K; k += kWarp) y[n * s.K + k] = expf(row[k] - largest) / sum;
  }
};

struct SoftmaxBackward {
  static constexpr int kThreads = kRowThreads;
  ClassShape s;
  const float *dy, *y;
  float* dx;
  PYCONV_DEVICE void operator()() const {
    const int64_t n = row_index();
    if (n >= s.N) return;
    double dot = 0;
    for (int64_t k = lane_index(); k < s.K; k += kWarp) dot += double{dy[n * s.K + k]} * y[n * s.K + k];
    const float mean = static_cast<float>(warp_sum(dot));  // of dy, under the distribution y
    for (int64_t k = lane_index(); k < s.K; k += kWarp) {
      const int64_t i = n * s.K + k;
      dx[i] = y[i] * (dy[i] - mean);
    }
  }
};

}  // namespace

Status softmax(const Context& context, const ClassShape& s, const float* x, float* y) {
  return launch(context, Softmax{s, x, y}, row_grid(s.N));
}

Status softmax_backward(const Context& context, const ClassShape& s, const float* dy, const float* y, float* dx) {
  return launch(context, SoftmaxBackward{s, dy, y, dx}, row_grid(s.N));
}

}  // namespace pyconv::cuda
