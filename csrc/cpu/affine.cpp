// Bilinear warp of a batch, and the random matrices for it. One chunk is a run of output rows. A block of pixels
// first gets the addresses and weights of its four source pixels, a register of output pixels at a time and
// borders included; then the pixels are blended one by one, without a branch.
#include "../formulas.h"
#include "cpu.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {

namespace {

constexpr int64_t kBlock = 64;  // pixels

// What the output pixels of a block read: pixels (rows[i], columns[j]) by weights[i][j], and a constant.
struct Stencils {
  int32_t rows[2][kBlock], columns[2][kBlock];
  float weights[2][2][kBlock], constants[kBlock];
};

PYCONV_INLINE Vec minimum(Vec a, Vec b) {
  return b < a ? b : a;
}
PYCONV_INLINE Vec maximum(Vec a, Vec b) {
  return b > a ? b : a;
}
PYCONV_INLINE Vec floor(Vec v) {  // |v| < 2^31
  const Vec truncated = __builtin_convertvector(__builtin_convertvector(v, VecInt), Vec);
  return truncated > v ? truncated - 1 : truncated;
}

// The two neighbours of a coordinate along one axis, and the weight that falls outside (kConstant alone).
struct Neighbours {
  VecInt index[2];
  Vec weight[2], outside;
};

PYCONV_INLINE Neighbours neighbours(Vec coordinate, int64_t axis_size, FillMode mode) {
  const Vec zero{}, size = broadcast(static_cast<float>(axis_size)), period = 2 * size;
  // Far away all is border: a bound keeps the arithmetic on indices exact. NaN reaches the weights.
  const Vec bound = broadcast(0x1p22f);
  const Vec bounded = minimum(maximum(coordinate, -bound), bound);
  const Vec first = floor(bounded == bounded ? bounded : zero), fraction = bounded - first;
  Neighbours n{{}, {1 - fraction, fraction}, zero};
  for (int i = 0; i < 2; ++i) {
    Vec index = first + static_cast<float>(i);
    if (mode == FillMode::kReflect) {
      index -= period * floor(index / period);
      index = minimum(index, period - 1 - index);
    } else if (mode == FillMode::kConstant) {
      const auto inside = (index >= zero) & (index < size);
      n.outside += inside ? zero : n.weight[i];
      n.weight[i] = inside ? n.weight[i] : zero;
    }
    n.index[i] = __builtin_convertvector(minimum(maximum(index, zero), size - 1), VecInt);
  }
  return n;
}

// Output pixels (h, w) to (h, w + count - 1), rounded up to whole registers.
PYCONV_INLINE void find_stencils(const AffineShape& s, const float* m, int64_t h, int64_t w, int64_t count,
                                 Stencils& stencils) {
  const float row = m[0] * static_cast<float>(h) + m[2], column = m[3] * static_cast<float>(h) + m[5];
  Vec lane{};
  PYCONV_UNROLL
  for (int i = 0; i < kVecFloats; ++i) lane[i] = static_cast<float>(i);
  for (int64_t p = 0; p < count; p += kVecFloats) {
    const Vec at = lane + static_cast<float>(w + p);
    const Neighbours r = neighbours(m[1] * at + row, s.H, s.fill_mode);
    const Neighbours c = neighbours(m[4] * at + column, s.W, s.fill_mode);
    for (int i = 0; i < 2; ++i) {
      store_as(stencils.rows[i] + p, r.index[i]);
      store_as(stencils.columns[i] + p, c.index[i]);
      for (int j = 0; j < 2; ++j) store_as(stencils.weights[i][j] + p, r.weight[i] * c.weight[j]);
    }
    const Vec outside = r.outside + (r.weight[0] + r.weight[1]) * c.outside;
    store_as(stencils.constants + p, outside > Vec{} ? outside * s.fill_value : Vec{});
  }
}

template <class L, class T>
PYCONV_INLINE typename L::Float blend(const Stencils& stencils, int64_t p, const T* image, int64_t row_size,
                                      int64_t C) {
  auto v = typename L::Float{} + stencils.constants[p];
  PYCONV_UNROLL
  for (int i = 0; i < 2; ++i) {
    PYCONV_UNROLL
    for (int j = 0; j < 2; ++j) {
      const int64_t pixel = stencils.rows[i][p] * row_size + stencils.columns[j][p] * C;
      v += stencils.weights[i][j][p] * load_float<L>(image + pixel);
    }
  }
  return v;
}

template <class T>
void affine_from(const AffineShape& shape, const T* source, const int32_t* index, const float* matrix,
                 const float* scale, const float* shift, float* y) {
  const int64_t rows = shape.N * shape.H, row_size = shape.W * shape.C;
  const int64_t chunks = min(rows, elementwise_chunks(rows * row_size, 4096));
  parallel(chunks, [=, &shape](int64_t chunk) {
    const AffineShape s = shape;  // a copy that no store can alias
    Lanes<4>::Float scale_3 = Lanes<4>::Float{} + 1, shift_3{};
    for (int64_t c = 0; s.C == 3 && c < 3; ++c) {
      if (scale) scale_3[c] = scale[c];
      if (shift) shift_3[c] = shift[c];
    }
    Stencils stencils;
    const Range r = chunk_range(rows, chunks, chunk);
    for (int64_t row = r.begin; row < r.end; ++row) {
      const int64_t n = row / s.H, example = index ? index[n] : n;
      const T* image = source + example * s.H * row_size;
      // Three channels take registers of four lanes, which read and write a bit of the next pixel.
      const bool by_four = s.C == 3 && example + 1 < s.M;
      for (int64_t w = 0; w < s.W; w += kBlock) {
        const int64_t count = min(kBlock, s.W - w);
        float* to = y + row * row_size + w * s.C;
        find_stencils(s, matrix + 6 * n, row % s.H, w, count, stencils);
        int64_t p = 0;
        for (; by_four && p + 1 < count; ++p)
          store_as(to + 3 * p, scale_3 * blend<Lanes<4>>(stencils, p, image, row_size, 3) + shift_3);
        for (; p < count; ++p)
          for_lanes(0, s.C, [&](auto lanes, int64_t c) PYCONV_LANES_BODY {
            using L = decltype(lanes);
            auto v = blend<L>(stencils, p, image + c, row_size, s.C);
            if (scale) v *= load_float<L>(scale + c);
            if (shift) v += load_float<L>(shift + c);
            store_as(to + p * s.C + c, v);
          });
      }
    }
  });
}

}  // namespace

Status affine(const Context&, const AffineShape& s, DType source_type, const void* source, const int32_t* index,
              const float* matrix, const float* scale, const float* shift, float* y) {
  if (source_type == DType::kUint8)
    affine_from(s, static_cast<const uint8_t*>(source), index, matrix, scale, shift, y);
  else
    affine_from(s, static_cast<const float*>(source), index, matrix, scale, shift, y);
  return kOk;
}

Status random_affine(const Context&, const RandomAffineShape& s, const uint32_t* rng, const int32_t* index,
                     float* matrix) {
  const uint32_t state[4] = {rng[0], rng[1], rng[2], 0};
  for (int64_t n = 0; n < s.N; ++n)
    write_random_affine(s, state, static_cast<uint32_t>(index ? index[n] : n), matrix + 6 * n);
  return kOk;
}

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
