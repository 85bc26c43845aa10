// A batch picked from a data set, converted and scaled: a thread takes an element.
#include "cuda.h"

namespace pyconv::cuda {

namespace {

template <class T>
struct Gather {
  GatherShape s;
  const T* source;
  const int32_t* index;
  const float *scale, *shift;
  float* y;
  PYCONV_DEVICE void operator()(int64_t i) const {
    const int64_t n = i / s.elements, e = i % s.elements, c = e % s.C;
    float v = static_cast<float>(source[(index ? index[n] : n) * s.elements + e]);
    if (scale) v *= scale[c];
    if (shift) v += shift[c];
    y[i] = v;
  }
};

}  // namespace

Status gather(const Context& context, const GatherShape& s, DType source_type, const void* source,
              const int32_t* index, const float* scale, const float* shift, float* y) {
  return with_pixels(source_type, source, [&](auto* pixels) {
    return for_each(context, s.N * s.elements, Gather{s, pixels, index, scale, shift, y});
  });
}

}  // namespace pyconv::cuda
