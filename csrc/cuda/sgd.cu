// One step of stochastic gradient descent: plain, with momentum, or with Nesterov's momentum as Keras writes it.
#include "cuda.h"

namespace pyconv::cuda {

namespace {

struct Sgd {
  float l2;
  int32_t nesterov;
  const float* hyper;
  const double* guard;
  const float* dweight;
  float *weight, *velocity;  // velocity may be null
  PYCONV_DEVICE void operator()(int64_t i) const {
    if (guard && !is_finite(*guard)) return;
    const float learning_rate = hyper[0], momentum = velocity ? hyper[1] : 0;
    const float w = weight[i], descent = -learning_rate * (dweight[i] + 2 * l2 * w);
    const float moved = velocity ? momentum * velocity[i] + descent : descent;
    if (velocity) velocity[i] = moved;
    weight[i] = w + (nesterov ? momentum * moved + descent : moved);
  }
};

}  // namespace

Status sgd(const Context& context, int64_t size, float l2, int32_t nesterov, const float* hyper,
           const double* guard, const float* dweight, float* weight, float* velocity) {
  return for_each(context, size, Sgd{l2, nesterov, hyper, guard, dweight, weight, velocity});
}

}  // namespace pyconv::cuda
