// Rectified linear unit and its gradient.
#include "cuda.h"

namespace pyconv::cuda {

namespace {

struct Relu {
  const float* x;
  float* y;
  PYCONV_DEVICE void operator()(int64_t i) const {
    const float v = x[i];
    y[i] = v < 0 ? 0 : v;
  }
};

struct ReluBackward {
  const float *dy, *y;
  float* dx;
  PYCONV_DEVICE void operator()(int64_t i) const { dx[i] = y[i] <= 0 ? 0 : dy[i]; }
};

}  // namespace

Status relu(const Context& context, int64_t size, const float* x, float* y) {
  return for_each(context, size, Relu{x, y});
}

Status relu_backward(const Context& context, int64_t size, const float* dy, const float* y, float* dx) {
  return for_each(context, size, ReluBackward{dy, y, dx});
}

}  // namespace pyconv::cuda
