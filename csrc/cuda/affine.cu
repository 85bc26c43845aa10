// Bilinear warp of a batch: a thread takes a pixel. And the random matrices for it: a thread takes an example.
#include "cuda.h"

namespace pyconv::cuda {

namespace {

// The two neighbours of a coordinate along one axis, and the weight that falls outside (kConstant alone).
struct Neighbours {
  int64_t index[2];
  float weight[2], outside = 0;

  PYCONV_DEVICE Neighbours(float coordinate, int64_t axis_size, FillMode mode) {
    const float size = static_cast<float>(axis_size), period = 2 * size;
    // Far away all is border: a bound keeps the arithmetic on indices exact. NaN reaches the weights.
    const float bounded = coordinate > 0x1p22f ? 0x1p22f : coordinate < -0x1p22f ? -0x1p22f : coordinate;
    const float first = floorf(bounded == bounded ? bounded : 0), fraction = bounded - first;
    weight[0] = 1 - fraction, weight[1] = fraction;
    for (int i = 0; i < 2; ++i) {
      float at = first + static_cast<float>(i);
      if (mode == FillMode::kReflect) {
        at -= period * floorf(at / period);
        at = minimum(at, period - 1 - at);
      } else if (mode == FillMode::kConstant && !(at >= 0 && at < size)) {
        outside += weight[i];
        weight[i] = 0;
      }
      index[i] = static_cast<int64_t>(minimum(maximum(at, 0.0f), size - 1));
    }
  }
};

template <class T>
struct Affine {
  AffineShape s;
  const T* source;
  const int32_t* index;
  const float *matrix, *scale, *shift;
  float* y;

  PYCONV_DEVICE void operator()(int64_t i) const {
    const int64_t n = i / (s.H * s.W), h = i / s.W % s.H, w = i % s.W;
    const float* m = matrix + 6 * n;
    const float row = static_cast<float>(h), column = static_cast<float>(w);
    const Neighbours r(m[1] * column + (m[0] * row + m[2]), s.H, s.fill_mode);
    const Neighbours c(m[4] * column + (m[3] * row + m[5]), s.W, s.fill_mode);
    const float outside = r.outside + (r.weight[0] + r.weight[1]) * c.outside;
    const T* image = source + (index ? index[n] : n) * s.H * s.W * s.C;
    for (int64_t k = 0; k < s.C; ++k) {
      float v = outside > 0 ? outside * s.fill_value : 0;
      for (int a = 0; a < 2; ++a)
        for (int b = 0; b < 2; ++b)
          v += r.weight[a] * c.weight[b] * static_cast<float>(image[(r.index[a] * s.W + c.index[b]) * s.C + k]);
      if (scale) v *= scale[k];
      if (shift) v += shift[k];
      y[i * s.C + k] = v;
    }
  }
};

struct RandomAffine {
  RandomAffineShape s;
  const uint32_t* rng;
  const int32_t* index;
  float* matrix;
  PYCONV_DEVICE void operator()(int64_t n) const {
    const uint32_t state[4] = {rng[0], rng[1], rng[2], 0};
    write_random_affine(s, state, static_cast<uint32_t>(index ? index[n] : n), matrix + 6 * n);
  }
};

}  // namespace

Status affine(const Context& context, const AffineShape& s, DType source_type, const void* source,
              const int32_t* index, const float* matrix, const float* scale, const float* shift, float* y) {
  return with_pixels(source_type, source, [&](auto* pixels) {
    return for_each(context, s.N * s.H * s.W, Affine{s, pixels, index, matrix, scale, shift, y});
  });
}

Status random_affine(const Context& context, const RandomAffineShape& s, const uint32_t* rng, const int32_t* index,
                     float* matrix) {
  return for_each(context, s.N, RandomAffine{s, rng, index, matrix});
}

}  // namespace pyconv::cuda
