// Sum and sum of squares in double precision: at most 16 chunks, each a run of whole vectors, whose partial
// sums are added in order.
#include "cpu.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {

namespace {

constexpr int kAccumulators = 4;  // enough to hide the latency of an addition
constexpr int kLanes = kVecFloats / 2;
constexpr int kStep = kAccumulators * kLanes;

PYCONV_INLINE VecDouble identity(VecDouble v) {
  return v;
}
PYCONV_INLINE VecDouble square(VecDouble v) {
  return v * v;
}

template <VecDouble (*kTerm)(VecDouble)>
PYCONV_INLINE double sum_range(const float* x, Range r) {
  VecDouble total[kAccumulators] = {};
  int64_t i = r.begin;
  for (; i + kStep <= r.end; i += kStep) PYCONV_UNROLL
  for (int a = 0; a < kAccumulators; ++a) total[a] += kTerm(load_double(x + i + a * kLanes));
  for (; i < r.end; ++i) total[0] += kTerm(VecDouble{x[i]});
  const VecDouble lanes = (total[0] + total[1]) + (total[2] + total[3]);
  double sum = 0;
  for (int l = 0; l < kLanes; ++l) sum += lanes[l];
  return sum;
}

template <VecDouble (*kTerm)(VecDouble)>
PYCONV_INLINE Status accumulate(int64_t size, float scale, const float* x, double* total) {
  double partial[kMaxPartials];
  const int64_t chunks = min(kMaxPartials, elementwise_chunks(size));
  parallel(chunks, [=, &partial](int64_t chunk) {
    partial[chunk] = sum_range<kTerm>(x, chunk_range(size, chunks, chunk, kStep));
  });
  double sum = 0;
  for (int64_t i = 0; i < chunks; ++i) sum += partial[i];
  *total += scale * sum;
  return kOk;
}

}  // namespace

Status sum(const Context&, int64_t size, float scale, const float* x, double* total) {
  return accumulate<identity>(size, scale, x, total);
}

Status sum_of_squares(const Context&, int64_t size, float scale, const float* x, double* total) {
  return accumulate<square>(size, scale, x, total);
}

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
