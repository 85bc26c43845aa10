// What the cross-entropies share: the weight of a class in a row's target, and its loss' gradient.
#pragma once

#include "softmax.cuh"

namespace pyconv::cuda {
namespace {

struct Target {
  const int32_t* labels;
  const float* targets;
  PYCONV_DEVICE float at(const ClassShape& s, int64_t n, int64_t k) const {
    const float soft = s.label_smoothing / static_cast<float>(s.K);
    const float hard = labels ? static_cast<float>(k == labels[n]) : targets[n * s.K + k];
    return (1 - s.label_smoothing) * hard + soft;
  }
};

PYCONV_DEVICE float row_gradient(const ClassShape& s, const float* dloss, int64_t n) {
  return dloss ? dloss[n] : 1.0f / static_cast<float>(s.N);
}

}  // namespace
}  // namespace pyconv::cuda
