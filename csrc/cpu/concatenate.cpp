// Two arrays side by side in one, and apart again: one chunk is a run of rows.
#include "cpu.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {

namespace {

PYCONV_INLINE void copy_row(int64_t size, const float* from, float* to) {
  int64_t i = 0;
  for (; i + kVecFloats <= size; i += kVecFloats) store(to + i, load(from + i));
  if (size > i) store_part(to + i, load_part(from + i, size - i), size - i);
}

// Calls function(row) for all rows.
template <class Function>
PYCONV_INLINE Status each_row(const ConcatenateShape& s, const Function& function) {
  const int64_t chunks = min(s.M, elementwise_chunks(s.M * (s.A + s.B)));
  parallel(chunks, [=](int64_t chunk) {
    const Range rows = chunk_range(s.M, chunks, chunk);
    for (int64_t m = rows.begin; m < rows.end; ++m) function(m);
  });
  return kOk;
}

}  // namespace

Status concatenate(const Context&, const ConcatenateShape& s, const float* a, const float* b, float* y) {
  return each_row(s, [=](int64_t m) {
    float* row = y + m * (s.A + s.B);
    copy_row(s.A, a + m * s.A, row);
    copy_row(s.B, b + m * s.B, row + s.A);
  });
}

Status concatenate_backward(const Context&, const ConcatenateShape& s, const float* dy, float* da, float* db) {
  return each_row(s, [=](int64_t m) {
    const float* row = dy + m * (s.A + s.B);
    copy_row(s.A, row, da + m * s.A);
    copy_row(s.B, row + s.A, db + m * s.B);
  });
}

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
