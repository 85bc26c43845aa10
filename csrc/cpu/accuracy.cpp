// Whether each row's first largest score is its label. One chunk is a run of rows.
#include "cpu.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {

namespace {

// Where the first largest value is; -1 for an empty row or one that holds NaN.
PYCONV_INLINE int64_t first_largest(int64_t K, const float* x) {
  int64_t best = K > 0 ? 0 : -1;
  for (int64_t k = 0; k < K; ++k) {
    if (x[k] != x[k]) return -1;
    if (x[k] > x[best]) best = k;
  }
  return best;
}

}  // namespace

Status accuracy(const Context&, const ClassShape& s, const float* scores, const int32_t* labels,
                const float* targets, float* correct) {
  const int64_t chunks = max(min(1, s.N), elementwise_chunks(s.N * s.K)), K = s.K;
  parallel(chunks, [=](int64_t chunk) {
    const Range rows = chunk_range(s.N, chunks, chunk);
    for (int64_t n = rows.begin; n < rows.end; ++n) {
      const int64_t predicted = first_largest(K, scores + n * K);
      const int64_t actual = labels ? labels[n] : first_largest(K, targets + n * K);
      correct[n] = predicted >= 0 && predicted == actual ? 1.0f : 0.0f;
    }
  });
  return kOk;
}

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
