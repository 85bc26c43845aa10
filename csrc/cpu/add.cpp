// Elementwise sum of two arrays: one chunk is a run of whole vectors.
#include "cpu.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {

Status add(const Context&, int64_t size, const float* a, const float* b, float* y) {
  const int64_t chunks = elementwise_chunks(size);
  parallel(chunks, [=](int64_t chunk) {
    const Range r = chunk_range(size, chunks, chunk, kVecFloats);
    int64_t i = r.begin;
    for (; i + kVecFloats <= r.end; i += kVecFloats) store(y + i, load(a + i) + load(b + i));
    for (; i < r.end; ++i) y[i] = a[i] + b[i];
  });
  return kOk;
}

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
