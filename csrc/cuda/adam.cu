// One step of Adam, with the bias corrections folded into alpha: every array is read and written once.
#include "cuda.h"

namespace pyconv::cuda {

namespace {

struct Adam {
  float l2;
  const float* hyper;
  const double* guard;
  const float* dweight;
  float *weight, *m, *v;
  PYCONV_DEVICE void operator()(int64_t i) const {
    if (guard && !is_finite(*guard)) return;
    const float alpha = hyper[0], beta_1 = hyper[1], beta_2 = hyper[2], epsilon = hyper[3];
    const float w = weight[i], g = dweight[i] + 2 * l2 * w;
    const float m_i = m[i] = beta_1 * m[i] + (1 - beta_1) * g;
    const float v_i = v[i] = beta_2 * v[i] + (1 - beta_2) * (g * g);
    weight[i] = w - alpha * m_i / (sqrtf(v_i) + epsilon);
  }
};

}  // namespace

Status adam(const Context& context, int64_t size, float l2, const float* hyper, const double* guard,
            const float* dweight, float* weight, float* m, float* v) {
  return for_each(context, size, Adam{l2, hyper, guard, dweight, weight, m, v});
}

}  // namespace pyconv::cuda
