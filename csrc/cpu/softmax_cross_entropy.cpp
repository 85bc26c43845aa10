// Softmax and cross-entropy in one pass, exact for logits of any size: with z = logits - their maximum and
// target weights t, loss = log(sum of exp z) * (sum of t) - (sum of t z). One chunk is a run of rows.
#include <math.h>

#include "target.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {

Status softmax_cross_entropy(const Context&, const ClassShape& s, const float* logits, const int32_t* labels,
                             const float* targets, const float* dloss, float* loss, float* dlogits) {
  const int64_t K = s.K;
  return each_row(s, [=](int64_t n) {
    const Target target(s, labels, targets, n);
    const float* logits_n = logits + n * K;
    const float largest = row_max(K, logits_n);
    double weight = 0, weighted = 0;
    for (int64_t k = 0; k < K; ++k) {
      const float t = target[k];
      weight += t;
      if (t != 0) weighted += t * (double{logits_n[k]} - largest);  // an impossible class may be at -inf
    }
    float* dlogits_n = dlogits ? dlogits + n * K : nullptr;  // may be logits_n: not read from here on
    const double sum = exp_row(K, logits_n, largest, dlogits_n);
    loss[n] = K > 0 ? static_cast<float>(::log(sum) * weight - weighted) : 0;
    if (!dlogits) return;
    const float norm = static_cast<float>(sum), scale = row_gradient(s, dloss, n);
    for (int64_t k = 0; k < K; ++k) dlogits_n[k] = scale * (dlogits_n[k] / norm - target[k]);
  });
}

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
