// Bilinear warp of a batch, and the random matrices for it. One chunk is a run of output rows. Coordinates are
// monotone along a row, so the pixels whose 2x2 stencil lies inside the source are one run; only the others
// look at the border. Three channels take registers of four lanes: the fourth reads and writes the next pixel,
// so the run then stops short of the last column.
#include "../philox.h"
#include "cpu.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {

namespace {

// Where the pixels of one output row read.
struct Line {
  float row, row_step, column, column_step;

  PYCONV_INLINE_MEMBER Line(const float* m, int64_t h)
      : row(m[0] * static_cast<float>(h) + m[2]),
        row_step(m[1]),
        column(m[3] * static_cast<float>(h) + m[5]),
        column_step(m[4]) {}
  PYCONV_INLINE_MEMBER float row_at(int64_t w) const { return row_step * static_cast<float>(w) + row; }
  PYCONV_INLINE_MEMBER float column_at(int64_t w) const { return column_step * static_cast<float>(w) + column; }
};

// The four source pixels of an output pixel (null: the fill value), and their weights.
template <class T>
struct Stencil {
  const T* pixels[4];
  float weights[4];

  PYCONV_INLINE_MEMBER void weigh(float below, float right) {
    const float above = 1 - below, left = 1 - right;
    weights[0] = above * left, weights[1] = above * right, weights[2] = below * left, weights[3] = below * right;
  }
};

// Narrows the run to the w for which first + w * step is in [0, limit), give or take a pixel.
PYCONV_INLINE void narrow(Range& run, double first, double step, double limit) {
  if (step == 0) return;
  const double size = static_cast<double>(run.end), zero = -first / step, top = (limit - first) / step;
  const double low = step > 0 ? zero : top, high = (step > 0 ? top : zero) + 1;
  run.begin = max(run.begin, static_cast<int64_t>(low > 0 ? (low < size ? low : size) : 0));
  run.end = min(run.end, static_cast<int64_t>(high > 0 ? (high < size ? high : size) : 0));
}

// The w whose stencil lies in the source's first `columns` columns.
PYCONV_INLINE Range interior(const AffineShape& s, const Line& line, int64_t columns) {
  const float rows = static_cast<float>(s.H - 1), limit = static_cast<float>(columns - 1);
  const auto inside = [&](int64_t w) PYCONV_LANES_BODY {
    const float row = line.row_at(w), column = line.column_at(w);
    return row >= 0 && row < rows && column >= 0 && column < limit;
  };
  Range run{0, min(s.W, columns)};
  narrow(run, line.row, line.row_step, rows);
  narrow(run, line.column, line.column_step, limit);
  while (run.begin < run.end && !inside(run.begin)) ++run.begin;
  while (run.begin < run.end && !inside(run.end - 1)) --run.end;
  return {run.begin, max(run.begin, run.end)};
}

template <class T>
PYCONV_INLINE Stencil<T> interior_stencil(const AffineShape& s, const Line& line, const T* image, int64_t w) {
  const float row = line.row_at(w), column = line.column_at(w);
  const auto top = static_cast<int32_t>(row), left = static_cast<int32_t>(column);
  const T* pixel = image + (top * s.W + left) * s.C;
  Stencil<T> stencil{{pixel, pixel + s.C, pixel + s.W * s.C, pixel + (s.W + 1) * s.C}, {}};
  stencil.weigh(row - static_cast<float>(top), column - static_cast<float>(left));
  return stencil;
}

// The pixel that stands for coordinate i, or -1 for the fill value.
PYCONV_INLINE int64_t border(int64_t i, int64_t size, FillMode mode) {
  if (i >= 0 && i < size) return i;
  if (mode == FillMode::kConstant) return -1;
  if (mode == FillMode::kNearest) return i < 0 ? 0 : size - 1;
  const int64_t period = 2 * size, r = (i % period + period) % period;
  return min(r, period - 1 - r);
}

// Coordinates may be anything: huge ones are clamped, and NaN gives NaN weights.
template <class T>
Stencil<T> border_stencil(const AffineShape& s, const Line& line, const T* image, int64_t w) {
  const auto clamp = [](float v) { return v < -0x1p30f ? -0x1p30f : v > 0x1p30f ? 0x1p30f : v; };
  const auto floor = [](float v) { return v == v ? static_cast<int64_t>(__builtin_floorf(v)) : 0; };
  const float row = clamp(line.row_at(w)), column = clamp(line.column_at(w));
  const int64_t top = floor(row), left = floor(column);
  Stencil<T> stencil;
  for (int i = 0; i < 4; ++i) {
    const int64_t r = border(top + i / 2, s.H, s.fill_mode), c = border(left + i % 2, s.W, s.fill_mode);
    stencil.pixels[i] = r < 0 || c < 0 ? nullptr : image + (r * s.W + c) * s.C;
  }
  stencil.weigh(row - static_cast<float>(top), column - static_cast<float>(left));
  return stencil;
}

template <class L, bool kBorder, class T>
PYCONV_INLINE typename L::Float blend(const AffineShape& s, const Stencil<T>& stencil, int64_t c) {
  using Float = typename L::Float;
  Float v{};
  PYCONV_UNROLL
  for (int i = 0; i < 4; ++i)
    v += stencil.weights[i] *
         (kBorder && !stencil.pixels[i] ? Float{} + s.fill_value : load_float<L>(stencil.pixels[i] + c));
  return v;
}

template <bool kBorder, class T>
PYCONV_INLINE void write_pixel(const AffineShape& s, const Stencil<T>& stencil, const float* scale,
                               const float* shift, float* y) {
  for_lanes(0, s.C, [&](auto lanes, int64_t c) PYCONV_LANES_BODY {
    using L = decltype(lanes);
    auto v = blend<L, kBorder>(s, stencil, c);
    if (scale) v *= load_float<L>(scale + c);
    if (shift) v += load_float<L>(shift + c);
    store_as(y + c, v);
  });
}

template <class T>
PYCONV_INLINE void warp_row(const AffineShape& s, const Line& line, const T* image, const float* scale,
                            const float* shift, float* y) {
  const Range run = interior(s, line, s.C == 3 ? s.W - 1 : s.W);
  for (int64_t w = 0; w < run.begin; ++w)
    write_pixel<true>(s, border_stencil(s, line, image, w), scale, shift, y + w * s.C);
  if (s.C == 3) {
    using L = Lanes<4>;
    L::Float a = L::Float{} + 1, b{};
    for (int c = 0; c < 3; ++c) {
      if (scale) a[c] = scale[c];
      if (shift) b[c] = shift[c];
    }
    for (int64_t w = run.begin; w < run.end; ++w)
      store_as(y + w * 3, a * blend<L, false>(s, interior_stencil(s, line, image, w), 0) + b);
  } else {
    for (int64_t w = run.begin; w < run.end; ++w)
      write_pixel<false>(s, interior_stencil(s, line, image, w), scale, shift, y + w * s.C);
  }
  for (int64_t w = run.end; w < s.W; ++w)
    write_pixel<true>(s, border_stencil(s, line, image, w), scale, shift, y + w * s.C);
}

template <class T>
void affine_from(const AffineShape& shape, const T* source, const int32_t* index, const float* matrix,
                 const float* scale, const float* shift, float* y) {
  const int64_t rows = shape.N * shape.H, row_size = shape.W * shape.C;
  const int64_t chunks = min(rows, elementwise_chunks(rows * row_size, 4096));
  parallel(chunks, [=, &shape](int64_t chunk) {
    const AffineShape s = shape;  // a copy that no store can alias
    const Range r = chunk_range(rows, chunks, chunk);
    for (int64_t row = r.begin; row < r.end; ++row) {
      const int64_t n = row / s.H;
      const T* image = source + (index ? index[n] : n) * s.H * row_size;
      warp_row(s, Line(matrix + 6 * n, row % s.H), image, scale, shift, y + row * row_size);
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

// source - centre = R(angle) (flipped output - centre + shift), in (row, column) coordinates.
Status random_affine(const Context&, const RandomAffineShape& s, const uint32_t* rng, const int32_t* index,
                     float* matrix) {
  const double height = static_cast<double>(s.H), width = static_cast<double>(s.W);
  const double centre_row = height / 2 - 0.5, centre_column = width / 2 - 0.5;
  const uint32_t state[4] = {rng[0], rng[1], rng[2], 0};
  for (int64_t n = 0; n < s.N; ++n) {
    const auto example = static_cast<uint32_t>(index ? index[n] : n);
    const PhiloxBlock block = philox(state, kPhiloxAugment, example);
    const auto draw = [&](int i, double range) { return range * (2.0 * philox_uniform(block.word[i]) - 1); };
    const double angle = draw(0, s.rotation_range) * (3.14159265358979323846 / 180);
    const double row_shift = draw(1, s.height_shift_range) * height;
    const double column_shift = draw(2, s.width_shift_range) * width;
    const bool flip_rows = s.vertical_flip && (block.word[3] >> 30 & 1);
    const bool flip_columns = s.horizontal_flip && block.word[3] >> 31;
    const double sine = __builtin_sin(angle), cosine = __builtin_cos(angle);
    const double row_sign = flip_rows ? -1 : 1, column_sign = flip_columns ? -1 : 1;
    const double row = (flip_rows ? height - 1 : 0) - centre_row + row_shift;
    const double column = (flip_columns ? width - 1 : 0) - centre_column + column_shift;
    const double m[6] = {cosine * row_sign, -sine * column_sign,  cosine * row - sine * column + centre_row,
                         sine * row_sign,   cosine * column_sign, sine * row + cosine * column + centre_column};
    for (int i = 0; i < 6; ++i) matrix[6 * n + i] = static_cast<float>(m[i]);
  }
  return kOk;
}

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
