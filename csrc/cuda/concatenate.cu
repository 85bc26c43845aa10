// Two arrays side by side in one, and apart again.
#include "cuda.h"

namespace pyconv::cuda {

namespace {

struct Concatenate {
  ConcatenateShape s;
  const float *a, *b;
  float* y;
  PYCONV_DEVICE void operator()(int64_t i) const {
    const int64_t m = i / (s.A + s.B), k = i % (s.A + s.B);
    y[i] = k < s.A ? a[m * s.A + k] : b[m * s.B + k - s.A];
  }
};

struct ConcatenateBackward {
  ConcatenateShape s;
  const float* dy;
  float *da, *db;
  PYCONV_DEVICE void operator()(int64_t i) const {
    const int64_t m = i / (s.A + s.B), k = i % (s.A + s.B);
    (k < s.A ? da[m * s.A + k] : db[m * s.B + k - s.A]) = dy[i];
  }
};

}  // namespace

Status concatenate(const Context& context, const ConcatenateShape& s, const float* a, const float* b, float* y) {
  return for_each(context, s.M * (s.A + s.B), Concatenate{s, a, b, y});
}

Status concatenate_backward(const Context& context, const ConcatenateShape& s, const float* dy, float* da,
                            float* db) {
  return for_each(context, s.M * (s.A + s.B), ConcatenateBackward{s, dy, da, db});
}

}  // namespace pyconv::cuda
