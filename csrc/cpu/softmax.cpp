// Softmax over the classes of each row, shifted by the row's maximum, and its gradient. One chunk is a run of
// rows. A row that holds NaN or +inf gives NaN, as does a row of nothing but -inf.
#include "softmax.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {

namespace {

PYCONV_INLINE float dot(int64_t K, const float* a, const float* b) {
  constexpr int kLanes = kVecFloats / 2;
  VecDouble total{};
  int64_t k = 0;
  for (; k + kLanes <= K; k += kLanes) total += load_double(a + k) * load_double(b + k);
  double sum = 0;
  for (int i = 0; i < kLanes; ++i) sum += total[i];
  for (; k < K; ++k) sum += double{a[k]} * b[k];
  return static_cast<float>(sum);
}

}  // namespace

Status softmax(const Context&, const ClassShape& s, const float* x, float* y) {
  const int64_t chunks = class_chunks(s), K = s.K;
  parallel(chunks, [=](int64_t chunk) {
    const Range rows = chunk_range(s.N, chunks, chunk);
    for (int64_t n = rows.begin; n < rows.end; ++n) {
      const float* x_n = x + n * K;
      float* y_n = y + n * K;
      const float sum = static_cast<float>(exp_row(K, x_n, row_max(K, x_n), y_n));
      for (int64_t k = 0; k < K; ++k) y_n[k] /= sum;
    }
  });
  return kOk;
}

Status softmax_backward(const Context&, const ClassShape& s, const float* dy, const float* y, float* dx) {
  const int64_t chunks = class_chunks(s), K = s.K;
  parallel(chunks, [=](int64_t chunk) {
    const Range rows = chunk_range(s.N, chunks, chunk);
    for (int64_t n = rows.begin; n < rows.end; ++n) {
      const float *dy_n = dy + n * K, *y_n = y + n * K;
      float* dx_n = dx + n * K;
      const float mean = dot(K, dy_n, y_n);  // of dy, under the distribution y
      for (int64_t k = 0; k < K; ++k) dx_n[k] = y_n[k] * (dy_n[k] - mean);
    }
  });
  return kOk;
}

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
