// Rectified linear unit and its gradient, elementwise: one chunk is a run of whole vectors.
#include "cpu.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {

Status relu(const Context&, int64_t size, const float* x, float* y) {
  const int64_t chunks = elementwise_chunks(size);
  parallel(chunks, [=](int64_t chunk) {
    const Range r = chunk_range(size, chunks, chunk, kVecFloats);
    int64_t i = r.begin;
    for (; i + kVecFloats <= r.end; i += kVecFloats) store(y + i, relu(load(x + i)));
    for (; i < r.end; ++i) y[i] = x[i] < 0 ? 0 : x[i];
  });
  return kOk;
}

Status relu_backward(const Context&, int64_t size, const float* dy, const float* y, float* dx) {
  const int64_t chunks = elementwise_chunks(size);
  parallel(chunks, [=](int64_t chunk) {
    const Range r = chunk_range(size, chunks, chunk, kVecFloats);
    int64_t i = r.begin;
    for (; i + kVecFloats <= r.end; i += kVecFloats) {
      const Vec v = load(y + i);
      store(dx + i, v <= Vec{} ? Vec{} : load(dy + i));
    }
    for (; i < r.end; ++i) dx[i] = y[i] <= 0 ? 0 : dy[i];
  });
  return kOk;
}

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
