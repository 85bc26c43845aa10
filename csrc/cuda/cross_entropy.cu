// Cross-entropy of probabilities x and its gradient: with S = sum of x, target weights t and T = sum of t,
// loss = T log S - (sum of t log x), dx = dloss * (T / S - t / x).
#include "target.cuh"

namespace pyconv::cuda {

namespace {

PYCONV_DEVICE float at_least_tiny(float x) {
  constexpr float kTiny = 0x1p-126f;
  return x < kTiny ? kTiny : x;  // NaN stays
}

struct CrossEntropy {
  static constexpr int kThreads = kRowThreads;
  ClassShape s;
  const float* x;
  Target target;
  float* loss;

  PYCONV_DEVICE void operator()() const {
    const int64_t n = row_index();
    if (n >= s.N) return;
    double sum = 0, weight = 0, weighted = 0;
    for (int64_t k = lane_index(); k < s.K; k += kWarp) {
      const float v = x[n * s.K + k], t = target.at(s, n, k);
      sum += v;
      weight += t;
      if (t != 0) weighted += t * ::log(double{at_least_tiny(v)});
    }
    sum = warp_sum(sum);
    weight = warp_sum(weight);
    weighted = warp_sum(weighted);
    if (lane_index() == 0) loss[n] = s.K > 0 ? static_cast<float>(weight * ::log(sum) - weighted) : 0;
  }
};

struct CrossEntropyBackward {
  static constexpr int kThreads = kRowThreads;
  ClassShape s;
  const float *dloss, *x;
  Target target;
  float* dx;

  PYCONV_DEVICE void operator()() const {
    const int64_t n = row_index();
    if (n >= s.N) return;
    double sum = 0, weight = 0;
    for (int64_t k = lane_index(); k < s.K; k += kWarp) {
      sum += x[n * s.K + k];
      weight += target.at(s, n, k);
    }
    const float share = static_cast<float>(warp_sum(weight) / warp_sum(sum)), scale = row_gradient(s, dloss, n);
    for (int64_t k = lane_index(); k < s.K; k += kWarp)
      dx[n * s.K + k] = scale * (share - target.at(s, n, k) / at_least_tiny(x[n * s.K + k]));
  }
};

}  // namespace

Status cross_entropy(const Context& context, const ClassShape& s, const float* x, const int32_t* labels,
                     const float* targets, float* loss) {
  return launch(context, CrossEntropy{s, x, {labels, targets}, loss}, row_grid(s.N));
}

Status cross_entropy_backward(const Context& context, const ClassShape& s, const float* dloss, const float* x,
                              const int32_t* labels, const float* targets, float* dx) {
  return launch(context, CrossEntropyBackward{s, dloss, x, {labels, targets}, dx}, row_grid(s.N));
}

}  // namespace pyconv::cuda
