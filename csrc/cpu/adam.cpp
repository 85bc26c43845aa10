// One step of Adam (Kingma & Ba, https://arxiv.org/abs/1412.6980), with the bias corrections folded into
// alpha (its section 2). Memory-bound: every array is read and written once. One chunk is a run of whole
// vectors.
#include "cpu.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {

Status adam(const Context&, int64_t size, float l2, const float* hyper, const double* guard, const float* dweight,
            float* weight, float* m, float* v) {
  if (guard && !__builtin_isfinite(*guard)) return kOk;
  const float alpha = hyper[0], beta_1 = hyper[1], beta_2 = hyper[2], epsilon = hyper[3];
  const int64_t chunks = elementwise_chunks(size);
  parallel(chunks, [=](int64_t chunk) {
    const auto step = [=](Vec dw, Vec& w_i, Vec& m_i, Vec& v_i) {
      const Vec g = dw + 2 * l2 * w_i;
      m_i = beta_1 * m_i + (1 - beta_1) * g;
      v_i = beta_2 * v_i + (1 - beta_2) * (g * g);
      w_i -= alpha * m_i / (sqrt(v_i) + epsilon);
    };
    const Range r = chunk_range(size, chunks, chunk, kVecFloats);
    int64_t i = r.begin;
    for (; i + kVecFloats <= r.end; i += kVecFloats) {
      Vec w_i = load(weight + i), m_i = load(m + i), v_i = load(v + i);
      step(load(dweight + i), w_i, m_i, v_i);
      store(weight + i, w_i), store(m + i, m_i), store(v + i, v_i);
    }
    if (const int64_t n = r.end - i; n > 0) {
      Vec w_i = load_part(weight + i, n), m_i = load_part(m + i, n), v_i = load_part(v + i, n);
      step(load_part(dweight + i, n), w_i, m_i, v_i);
      store_part(weight + i, w_i, n), store_part(m + i, m_i, n), store_part(v + i, v_i, n);
    }
  });
  return kOk;
}

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
