// Sums, products and quotients of two arrays, and functions of one, elementwise: one chunk is a run of whole
// vectors.
#include <math.h>

#include "softmax.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {

namespace {

// y[i] = function(a[i], b[i]), vector by vector; what lies beyond an array's end is taken for 0, and not written.
template <class Function>
PYCONV_INLINE Status map(int64_t size, const float* a, const float* b, float* y, const Function& function) {
  const int64_t chunks = elementwise_chunks(size);
  parallel(chunks, [=](int64_t chunk) {
    const Range r = chunk_range(size, chunks, chunk, kVecFloats);
    int64_t i = r.begin;
    for (; i + kVecFloats <= r.end; i += kVecFloats) store(y + i, function(load(a + i), load(b + i)));
    if (const int64_t n = r.end - i; n > 0)
      store_part(y + i, function(load_part(a + i, n), load_part(b + i, n)), n);
  });
  return kOk;
}
template <class Function>
PYCONV_INLINE Status map(int64_t size, const float* x, float* y, const Function& function) {
  return map(size, x, x, y, [=](Vec v, Vec) { return function(v); });
}

}  // namespace

Status add(const Context&, int64_t size, const float* a, const float* b, float* y) {
  return map(size, a, b, y, [](Vec u, Vec v) { return u + v; });
}

Status multiply(const Context&, int64_t size, const float* a, const float* b, float* y) {
  return map(size, a, b, y, [](Vec u, Vec v) { return u * v; });
}

Status divide(const Context&, int64_t size, const float* a, const float* b, float* y) {
  return map(size, a, b, y, [](Vec u, Vec v) { return u / v; });
}

Status rescale(const Context&, int64_t size, float scale, float offset, const float* x, float* y) {
  return map(size, x, y, [=](Vec v) { return scale * v + offset; });
}

Status exp(const Context&, int64_t size, const float* x, float* y) {
  return map(size, x, y, [](Vec v) { return exp(v); });
}

// In double, so that the bits do not depend on the C library's version.
Status log(const Context&, int64_t size, const float* x, float* y) {
  return map(size, x, y, [](Vec v) {
    for (int i = 0; i < kVecFloats; ++i) v[i] = static_cast<float>(::log(double{v[i]}));
    return v;
  });
}

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
