// Softmax and cross-entropy in one pass, exact for logits of any size: with z = logits - their maximum and
// target weights t, loss = log(sum of exp z) * (sum of t) - (sum of t z). One chunk is a run of rows.
#include <math.h>

#include "softmax.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {

Status softmax_cross_entropy(const Context&, const ClassShape& s, const float* logits, const int32_t* labels,
                             const float* targets, float* loss, float* dlogits) {
  const int64_t chunks = max(min(1, s.N), class_chunks(s)), K = s.K;  // a row of no classes has a loss
  const float hard = 1 - s.label_smoothing, soft = K > 0 ? s.label_smoothing / static_cast<float>(K) : 0;
  parallel(chunks, [=](int64_t chunk) {
    const Range rows = chunk_range(s.N, chunks, chunk);
    for (int64_t n = rows.begin; n < rows.end; ++n) {
      const auto target = [=](int64_t k) {
        return hard * (labels ? static_cast<float>(k == labels[n]) : targets[n * K + k]) + soft;
      };
      const float* logits_n = logits + n * K;
      const float largest = row_max(K, logits_n);
      double weight = 0, weighted = 0;
      for (int64_t k = 0; k < K; ++k) {
        const float t = target(k);
        weight += t;
        if (t != 0) weighted += t * (double{logits_n[k]} - largest);  // an impossible class may be at -inf
      }
      float* dlogits_n = dlogits ? dlogits + n * K : nullptr;  // may be logits_n: not read from here on
      const double sum = exp_row(K, logits_n, largest, dlogits_n);
      loss[n] = K > 0 ? static_cast<float>(::log(sum) * weight - weighted) : 0;
      if (!dlogits) continue;
      const float norm = static_cast<float>(sum);
      for (int64_t k = 0; k < K; ++k) dlogits_n[k] = s.gradient_scale * (dlogits_n[k] / norm - target(k));
    }
  });
  return kOk;
}

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
