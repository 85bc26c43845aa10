// Weight gradient by Winograd's filtering: V^T times the transformed dy, plane by plane, summed in at most 16
// partial sums of the planes; their sum is transformed back once.
#include "conv2d_winograd.h"

namespace pyconv::cpu::PYCONV_CPU_ISA::winograd {
namespace {

// Partial sums: enough to keep many threads busy, few enough that adding them up (each n^2 / 9 times dweight)
// costs little.
template <class F>
PYCONV_INLINE int64_t weight_parts(const Geometry<F>& g) {
  const int64_t by_memory = max(2, (int64_t{1} << 21) / (g.kPlanes * g.weight_plane()));
  return max(1, min(min(kMaxPartials, by_memory), g.blocks()));
}

// dy's tiles transformed: D[plane][column block][tile][column]; their sums are added to dbias (target_row).
template <class F>
PYCONV_INLINE void transform_gradient(const Geometry<F>& g, const float* dy, int64_t first, int64_t count,
                                      float* D, float* dbias) {
  for (int64_t t = 0; t < count; ++t) {
    const TilePlace at = place_of(g, first + t);
    const float* image = dy + at.n * g.OH * g.OW * g.K;
    for (int64_t c = 0; c < g.target_row(); c += kVecFloats) {
      float* out = D + (c / kTileColumns * g.block + t) * kTileColumns + c % kTileColumns;
      Vec d[F::kOut][F::kOut], half[F::kIn][F::kOut];
      const int64_t lanes = max(0, min(kVecFloats, g.K - c));
      load_square<F::kOut>(image + c, g.OH, g.OW, g.K, at.h, at.w, lanes, d);
      Vec sum = load(dbias + c);
      PYCONV_UNROLL
      for (int i = 0; i < F::kOut; ++i) {
        PYCONV_UNROLL
        for (int j = 0; j < F::kOut; ++j) sum += d[i][j];
      }
      store(dbias + c, sum);
      PYCONV_UNROLL
      for (int j = 0; j < F::kOut; ++j) {
        Vec column[F::kOut], long_column[F::kIn];
        PYCONV_UNROLL
        for (int i = 0; i < F::kOut; ++i) column[i] = d[i][j];
        F::gradient(column, long_column);
        PYCONV_UNROLL
        for (int i = 0; i < F::kIn; ++i) half[i][j] = long_column[i];
      }
      PYCONV_UNROLL
      for (int i = 0; i < F::kIn; ++i) {
        Vec row[F::kIn];
        F::gradient(half[i], row);
        PYCONV_UNROLL
        for (int j = 0; j < F::kIn; ++j) store(out + (i * F::kIn + j) * g.target_plane(), row[j]);
      }
    }
  }
}

template <class F>
Status run(const Context& context, const Conv2dShape& s, const float* dy, const float* x, float* dweight,
           float* dbias) {
  const Geometry<F> g(s, false);
  const int64_t parts = weight_parts(g), part_floats = g.kPlanes * g.weight_plane() + g.target_row();
  float* partials = static_cast<float*>(context.workspace);
  parallel(parts, [&](int64_t part) {
    float* dU = partials + part * part_floats;
    float* sums = dU + g.kPlanes * g.weight_plane();
    __builtin_memset(dU, 0, static_cast<size_t>(part_floats) * sizeof(float));
    const int64_t V_floats = g.kPlanes * g.source_plane(), D_floats = g.kPlanes * g.target_plane();
    float* V = static_cast<float*>(thread_scratch(static_cast<size_t>(V_floats + D_floats) * sizeof(float)));
    float* D = V + V_floats;
    const Range range = chunk_range(g.blocks(), parts, part);
    for (int64_t i = range.begin; i < range.end; ++i) {
      const int64_t first = i * g.block, count = min(g.block, g.tiles() - first);
      transform_input(g, x, first, count, V);
      transform_gradient(g, dy, first, count, D, sums);
      for (int plane = 0; plane < g.kPlanes; ++plane) {
        const Segment tiles{V + plane * g.source_plane(), 0, count};
        for (int64_t c = 0; c < g.K; c += kTileColumns) {
          const float* b = D + plane * g.target_plane() + c * g.block;
          outer_blocks(g.C, g.K - c, {&tiles, 1, g.source_row(), b}, dU + plane * g.weight_plane() + c * g.C);
        }
      }
    }
  });

  const auto added = [=](int64_t at) {
    Vec sum = load(partials + at);
    for (int64_t part = 1; part < parts; ++part) sum += load(partials + part * part_floats + at);
    return sum;
  };
  parallel(g.C, [&](int64_t k) {
    for (int64_t c = 0; c < g.K; c += kVecFloats) {
      const int64_t at = (c / kTileColumns * g.C + k) * kTileColumns + c % kTileColumns;
      Vec half[3][F::kIn];
      for (int j = 0; j < F::kIn; ++j) {
        Vec column[F::kIn], short_column[3];
        for (int i = 0; i < F::kIn; ++i) column[i] = added((i * F::kIn + j) * g.weight_plane() + at);
        F::weight_gradient(column, short_column);
        for (int i = 0; i < 3; ++i) half[i][j] = short_column[i];
      }
      for (int i = 0; i < 3; ++i) {
        Vec row[3];
        F::weight_gradient(half[i], row);
        for (int j = 0; j < 3; ++j)
          store_part(dweight + ((i * 3 + j) * g.C + k) * g.K + c, row[j], min(kVecFloats, g.K - c));
      }
    }
  });
  for (int64_t c = 0; dbias && c < g.K; c += kVecFloats)
    store_part(dbias + c, added(g.kPlanes * g.weight_plane() + c), min(kVecFloats, g.K - c));
  return kOk;
}

template <class F>
size_t floats(const Conv2dShape& s) {
  const Geometry<F> g(s, false);
  return static_cast<size_t>(weight_parts(g) * (g.kPlanes * g.weight_plane() + g.target_row()));
}

}  // namespace

Status backward_weight(const Context& context, const Conv2dShape& s, int out, const float* dy, const float* x,
                       float* dweight, float* dbias) {
  return out == 4 ? run<WinogradF4>(context, s, dy, x, dweight, dbias)
                  : run<WinogradF2>(context, s, dy, x, dweight, dbias);
}

size_t weight_gradient_floats(const Conv2dShape& s, int out) {
  return out == 4 ? floats<WinogradF4>(s) : floats<WinogradF2>(s);
}

}  // namespace pyconv::cpu::PYCONV_CPU_ISA::winograd
