// What the cross-entropies share: the walk over rows, a row's target, and its loss' gradient.
#pragma once

#include "softmax.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {
namespace {

// The weight of each class in row n: a label's, or given, smoothed.
class Target {
 public:
  Target(const ClassShape& s, const int32_t* labels, const float* targets, int64_t n)
      : label_(labels ? labels[n] : 0),
        given_(labels ? nullptr : targets + n * s.K),
        hard_(1 - s.label_smoothing),
        soft_(s.K > 0 ? s.label_smoothing / static_cast<float>(s.K) : 0) {}
  float operator[](int64_t k) const {
    return hard_ * (given_ ? given_[k] : static_cast<float>(k == label_)) + soft_;
  }

 private:
  const int64_t label_;
  const float* const given_;
  const float hard_, soft_;
};

PYCONV_INLINE float row_gradient(const ClassShape& s, const float* dloss, int64_t n) {
  return dloss ? dloss[n] : 1.0f / static_cast<float>(s.N);
}

// Calls function(row) for all rows: a row of no classes has a loss.
template <class Function>
PYCONV_INLINE Status each_row(const ClassShape& s, const Function& function) {
  const int64_t chunks = max(min(1, s.N), class_chunks(s));
  parallel(chunks, [=](int64_t chunk) {
    const Range rows = chunk_range(s.N, chunks, chunk);
    for (int64_t n = rows.begin; n < rows.end; ++n) function(n);
  });
  return kOk;
}

}  // namespace
}  // namespace pyconv::cpu::PYCONV_CPU_ISA
