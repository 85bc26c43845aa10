// Cross-entropy of probabilities x and its gradient: with S = sum of x, target weights t and T = sum of t,
// loss = T log S - (sum of t log x), dx = dloss * (T / S - t / x).
#include <float.h>
#include <math.h>

#include "target.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {

namespace {

PYCONV_INLINE float at_least_tiny(float x) {
  return x < FLT_MIN ? FLT_MIN : x;  // NaN stays
}

}  // namespace

Status cross_entropy(const Context&, const ClassShape& s, const float* x, const int32_t* labels,
                     const float* targets, float* loss) {
  return each_row(s, [=](int64_t n) {
    const Target target(s, labels, targets, n);
    const float* row = x + n * s.K;
    double sum = 0, weight = 0, weighted = 0;
    for (int64_t k = 0; k < s.K; ++k) {
      const float t = target[k];
      sum += row[k];
      weight += t;
      if (t != 0) weighted += t * ::log(double{at_least_tiny(row[k])});
    }
    loss[n] = s.K > 0 ? static_cast<float>(weight * ::log(sum) - weighted) : 0;
  });
}

Status cross_entropy_backward(const Context&, const ClassShape& s, const float* dloss, const float* x,
                              const int32_t* labels, const float* targets, float* dx) {
  return each_row(s, [=](int64_t n) {
    const Target target(s, labels, targets, n);
    const float *row = x + n * s.K, scale = row_gradient(s, dloss, n);
    double sum = 0, weight = 0;
    for (int64_t k = 0; k < s.K; ++k) {
      sum += row[k];
      weight += target[k];
    }
    const float share = static_cast<float>(weight / sum);
    for (int64_t k = 0; k < s.K; ++k) dx[n * s.K + k] = scale * (share - target[k] / at_least_tiny(row[k]));
  });
}

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
