// One step of stochastic gradient descent: plain, with momentum, or with Nesterov's momentum in the form of
// Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013, as Keras
// writes it. Memory-bound: every array is read and written once. One chunk is a run of whole vectors.
#include "cpu.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {

Status sgd(const Context&, int64_t size, float l2, int32_t nesterov, const float* hyper, const double* guard,
           const float* dweight, float* weight, float* velocity) {
  if (guard && !__builtin_isfinite(*guard)) return kOk;
  const float learning_rate = hyper[0], momentum = velocity ? hyper[1] : 0;
  const int64_t chunks = elementwise_chunks(size);
  parallel(chunks, [=](int64_t chunk) {
    const auto step = [=](Vec dw, Vec& w_i, Vec& velocity_i) {
      const Vec descent = -learning_rate * (dw + 2 * l2 * w_i);
      velocity_i = momentum * velocity_i + descent;
      w_i += nesterov ? momentum * velocity_i + descent : velocity_i;
    };
    const Range r = chunk_range(size, chunks, chunk, kVecFloats);
    int64_t i = r.begin;
    for (; i + kVecFloats <= r.end; i += kVecFloats) {
      Vec w_i = load(weight + i), velocity_i = velocity ? load(velocity + i) : Vec{};
      step(load(dweight + i), w_i, velocity_i);
      store(weight + i, w_i);
      if (velocity) store(velocity + i, velocity_i);
    }
    if (const int64_t n = r.end - i; n > 0) {
      Vec w_i = load_part(weight + i, n), velocity_i = velocity ? load_part(velocity + i, n) : Vec{};
      step(load_part(dweight + i, n), w_i, velocity_i);
      store_part(weight + i, w_i, n);
      if (velocity) store_part(velocity + i, velocity_i, n);
    }
  });
  return kOk;
}

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
