// Sums, products and quotients of two arrays, and functions of one, elementwise.
#include "cuda.h"

namespace pyconv::cuda {

namespace {

struct Add {
  const float *a, *b;
  float* y;
  PYCONV_DEVICE void operator()(int64_t i) const { y[i] = a[i] + b[i]; }
};

struct Multiply {
  const float *a, *b;
  float* y;
  PYCONV_DEVICE void operator()(int64_t i) const { y[i] = a[i] * b[i]; }
};

struct Divide {
  const float *a, *b;
  float* y;
  PYCONV_DEVICE void operator()(int64_t i) const { y[i] = a[i] / b[i]; }
};

struct Rescale {
  float scale, offset;
  const float* x;
  float* y;
  PYCONV_DEVICE void operator()(int64_t i) const { y[i] = scale * x[i] + offset; }
};

struct Exp {
  const float* x;
  float* y;
  PYCONV_DEVICE void operator()(int64_t i) const { y[i] = expf(x[i]); }
};

struct Log {
  const float* x;
  float* y;
  PYCONV_DEVICE void operator()(int64_t i) const { y[i] = logf(x[i]); }
};

}  // namespace

Status add(const Context& context, int64_t size, const float* a, const float* b, float* y) {
  return for_each(context, size, Add{a, b, y});
}

Status multiply(const Context& context, int64_t size, const float* a, const float* b, float* y) {
  return for_each(context, size, Multiply{a, b, y});
}

Status divide(const Context& context, int64_t size, const float* a, const float* b, float* y) {
  return for_each(context, size, Divide{a, b, y});
}

Status rescale(const Context& context, int64_t size, float scale, float offset, const float* x, float* y) {
  return for_each(context, size, Rescale{scale, offset, x, y});
}

Status exp(const Context& context, int64_t size, const float* x, float* y) {
  return for_each(context, size, Exp{x, y});
}

Status log(const Context& context, int64_t size, const float* x, float* y) {
  return for_each(context, size, Log{x, y});
}

}  // namespace pyconv::cuda
