// Gaussian error linear unit (Hendrycks & Gimpel, "Gaussian Error Linear Units", 2016) and its gradient.
#include "cuda.h"

namespace pyconv::cuda {

namespace {

// y = x * weight; the gradient is weight + x * slope.
struct Gate {
  float x;  // for the product with slope, and where it is negative with weight: finite, for both are 0 far out
  float weight, slope;
};

PYCONV_DEVICE Gate gate_of(float given, bool approximate) {
  constexpr float kFarOut = 15;
  const float x = given < -kFarOut ? -kFarOut : given > kFarOut ? kFarOut : given;
  if (approximate) {  // 1 / (1 + exp(-s)), which is (1 + tanh(s / 2)) / 2
    constexpr float kScale = 1.5957691216057308f, kCubic = 0.044715f * kScale;  // sqrt(8 / pi)
    const float s = x * (kScale + kCubic * x * x), e = expf(s < 0 ? s : -s), d = 1 / (1 + e);
    return {x, x < 0 ? e * d : d, e * d * d * (kScale + 3 * kCubic * x * x)};
  }
  return {x, 0.5f * erfcf(x * -0.70710678118654752f), expf(-0.5f * x * x) * 0.39894228040143268f};
}

struct Gelu {
  bool approximate;
  const float* x;
  float* y;
  PYCONV_DEVICE void operator()(int64_t i) const {
    const float v = x[i];
    const Gate g = gate_of(v, approximate);
    y[i] = (v < 0 ? g.x : v) * g.weight;
  }
};

struct GeluBackward {
  bool approximate;
  const float *dy, *x;
  float* dx;
  PYCONV_DEVICE void operator()(int64_t i) const {
    const Gate g = gate_of(x[i], approximate);
    dx[i] = dy[i] * (g.weight + g.x * g.slope);
  }
};

}  // namespace

Status gelu(const Context& context, int64_t size, int32_t approximate, const float* x, float* y) {
  return for_each(context, size, Gelu{approximate != 0, x, y});
}

Status gelu_backward(const Context& context, int64_t size, int32_t approximate, const float* dy, const float* x,
                     float* dx) {
  return for_each(context, size, GeluBackward{approximate != 0, dy, x, dx});
}

}  // namespace pyconv::cuda
