// Softmax, cross-entropy and their gradient in one pass: with z = logits - their maximum and target weights t,
// loss = log(sum of exp z) * (sum of t) - (sum of t z).
#include "target.cuh"

namespace pyconv::cuda {

namespace {

struct SoftmaxCrossEntropy {
  static constexpr int kThreads = kRowThreads;
  ClassShape s;
  const float* logits;
  Target target;
  const float* dloss;
  float *loss, *dlogits;  // dlogits may be logits

  PYCONV_DEVICE void operator()() const {
    const int64_t n = row_index();
    if (n >= s.N) return;
    const float* row = logits + n * s.K;
    const float largest = row_max(s.K, row);
    double weight = 0, weighted = 0;
    for (int64_t k = lane_index(); k < s.K; k += kWarp) {
      const float t = target.at(s, n, k);
      weight += t;
      if (t != 0) weighted += t * (double{row[k]} - largest);  // an impossible class may be at -inf
    }
    weight = warp_sum(weight);
    weighted = warp_sum(weighted);
    const double sum = row_sum_of_exponentials(s.K, row, largest);
    if (lane_index() == 0) loss[n] = s.K > 0 ? static_cast<float>(::log(sum) * weight - weighted) : 0;
    if (!dlogits) return;
    const float norm = static_cast<float>(sum), scale = row_gradient(s, dloss, n);
    for (int64_t k = lane_index(); k < s.K; k += kWarp)
      dlogits[n * s.K + k] = scale * (expf(row[k] - largest) / norm - target.at(s, n, k));
  }
};

}  // namespace

Status softmax_cross_entropy(const Context& context, const ClassShape& s, const float* logits,
                             const int32_t* labels, const float* targets, const float* dloss, float* loss,
                             float* dlogits) {
  return launch(context, SoftmaxCrossEntropy{s, logits, {labels, targets}, dloss, loss, dlogits}, row_grid(s.N));
}

}  // namespace pyconv::cuda
