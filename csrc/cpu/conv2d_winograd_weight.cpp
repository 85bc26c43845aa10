// Weight gradient by Winograd's filtering: V^T times the transformed dy, plane by plane, summed in at most 16
// partial sums of the planes; their sum is transformed back once.
#include "conv2d_gradient.h"
#include "conv2d_winograd.h"

namespace pyconv::cpu::PYCONV_CPU_ISA::winograd {
namespace {

// Partial sums: enough to keep many threads busy, few enough that adding them up (each n^2 / 9 times dweight)
// costs little beside their blocks; a power of two, which few threads share out evenly.
template <class F>
PYCONV_INLINE int64_t weight_parts(const Tiling<F>& g) {
  const int64_t most = min(g.blocks() / 4, (int64_t{1} << 21) / (g.kPlanes * g.weight_plane()));
  int64_t parts = g.blocks() > 1 ? 2 : 1;
  while (parts < kMaxPartials && 2 * parts <= most) parts *= 2;
  return parts;
}

template <class F>
PYCONV_INLINE int64_t part_floats(const Tiling<F>& g) {
  return g.kPlanes * g.weight_plane() + g.target_row();
}

template <class F>
PYCONV_INLINE int64_t gradient_plane(const Tiling<F>& g) {
  return plane_stride(g.block * g.target_row());
}

// dy's tiles transformed, channels of whole column blocks: D[plane][column block][tile][column]; their sums are
// added to dbias (target_row).
template <class F, bool kMade, bool kPooled>
PYCONV_INLINE void transform_gradient(const Tiling<F>& g, const Conv2dGradient& gradient, int64_t first,
                                      int64_t count, Range channels, float* D, float* dbias) {
  const int64_t plane = gradient_plane(g);
  const TargetShape target = g.target();
  TileWalk<F> at(g, first);
  for (int64_t t = 0; t < count; ++t, at.next()) {
    const int64_t rows = min(F::kOut, g.OH - at.h), columns = min(F::kOut, g.OW - at.w);
    for (int64_t c = channels.begin; c < channels.end; c += kVecFloats) {
      float* out = D + (c / kTileColumns * g.block + t) * kTileColumns + c % kTileColumns;
      const int64_t lanes = max(0, min(kVecFloats, g.K - c));
      const GradientChannels<kMade, kPooled> source(gradient, g.K, c, lanes);
      const GradientPlace place(target, c, at.n, at.h, at.w);
      Vec d[F::kOut][F::kOut];
      if (rows == F::kOut && columns == F::kOut && lanes == kVecFloats) {
        PYCONV_UNROLL
        for (int i = 0; i < F::kOut; ++i) {
          PYCONV_UNROLL
          for (int j = 0; j < F::kOut; ++j) d[i][j] = source.template get<true>(place, i, j);
        }
      } else {
        for (int i = 0; i < F::kOut; ++i)
          for (int j = 0; j < F::kOut; ++j)
            d[i][j] = i < rows && j < columns ? source.template get<false>(place, i, j) : Vec{};
      }
      Vec sum{};
      PYCONV_UNROLL
      for (int i = 0; i < F::kOut; ++i) {
        PYCONV_UNROLL
        for (int j = 0; j < F::kOut; ++j) sum += d[i][j];
      }
      store(dbias + c, load(dbias + c) + sum);
      F::gradient([&](int i, int j) PYCONV_LANES_BODY { return d[i][j]; },
                  [&](int i, int j, Vec v) PYCONV_LANES_BODY { store(out + (i * F::kIn + j) * plane, v); });
    }
  }
}

template <class F, bool kMade, bool kPooled>
PYCONV_INLINE void sum_parts(const Tiling<F>& tiling, const BackwardWeightPass& shared_pass, int64_t parts,
                             float* partials, const float* zeros) {
  // Where threads are more than parts, they share the column blocks too, each with its own transform of x. Each
  // block is summed by itself: the results are the same.
  const int64_t splits = max(1, min(tiling.column_blocks(), num_threads() / max(1, parts)));
  parallel(parts * splits, [=](int64_t chunk) {
    const int64_t part = chunk / splits;
    const Tiling<F> g = tiling;  // copies that no store can alias
    const BackwardWeightPass pass = shared_pass;
    const Conv2dGradient gradient = pass.gradient;
    float* dU = partials + part * part_floats(g);
    float* sums = dU + g.kPlanes * g.weight_plane();
    const Range columns = chunk_range(g.column_blocks(), splits, chunk % splits);
    const Range channels{columns.begin * kTileColumns, columns.end * kTileColumns};
    for (int64_t c = channels.begin; c < channels.end; ++c) sums[c] = 0;
    const int64_t D_plane = gradient_plane(g);
    const int64_t V_floats = g.kPlanes * g.source_plane(), D_floats = g.kPlanes * D_plane;
    float* V =
        static_cast<float*>(thread_scratch(static_cast<size_t>(V_floats + D_floats + g.square()) * sizeof(float)));
    float *D = V + V_floats, *square = D + D_floats;
    const Range range = chunk_range(g.blocks(), parts, part);
    for (int64_t i = range.begin; i < range.end; ++i) {
      const int64_t first = i * g.block, count = min(g.block, g.tiles() - first);
      const int64_t next = i + 1 < range.end ? min(g.block, g.tiles() - first - count) : 0;
      const int64_t steps = g.kPlanes * (columns.end - columns.begin) * ceil_div(g.C, kTileRows),
                    then = first + count;
      Prefetch x = prefetch_tiles(g, pass.x, g.H, g.W, g.C, F::kOut, then, next, steps);
      const int64_t d_size = kPooled ? F::kOut / 2 : F::kOut, d_H = kPooled ? g.OH / 2 : g.OH,
                    d_W = kPooled ? g.OW / 2 : g.OW;
      Prefetch d = prefetch_tiles(g, gradient.d, d_H, d_W, g.K, d_size, then, next, steps);
      Prefetch y = prefetch_tiles(g, gradient.y, g.OH, g.OW, g.K, F::kOut, then, next, steps);
      transform_input(g, pass.x, pass.input, first, count, InputScratch<F>{zeros, square}, V);
      transform_gradient<F, kMade, kPooled>(g, gradient, first, count, channels, D, sums);
      for (int plane = 0; plane < g.kPlanes; ++plane) {
        const Segment tiles{V + plane * g.source_plane(), 0, count};
        for (int64_t c = channels.begin; c < channels.end; c += kTileColumns) {
          const float* b = D + plane * D_plane + c * g.block;
          outer_blocks(g.C, g.K - c, {&tiles, 1, g.source_row(), b, i > range.begin},
                       dU + plane * g.weight_plane() + c * g.C, [&] { x.step(), d.step(), y.step(); });
        }
      }
    }
  });
}

template <class F>
void run(const Context& context, const Conv2dShape& s, const BackwardWeightPass& pass) {
  const Tiling<F> g(s, false);
  const int64_t parts = weight_parts(g), stride = part_floats(g);
  float* partials = static_cast<float*>(context.workspace);
  float* zeros = partials + parts * stride;
  __builtin_memset(zeros, 0, static_cast<size_t>(g.zeros()) * sizeof(float));
  if (!g.blocks()) __builtin_memset(partials, 0, static_cast<size_t>(stride) * sizeof(float));
  with_gradient_kind(pass.gradient, [&](auto made, auto pooled) {
    sum_parts<F, made.value, pooled.value>(g, pass, g.blocks() ? parts : 0, partials, zeros);
  });

  const auto added = [=](int64_t at) PYCONV_LANES_BODY {
    Vec sum = load(partials + at);
    for (int64_t part = 1; part < parts; ++part) sum += load(partials + part * stride + at);
    return sum;
  };
  parallel(g.C, [&](int64_t k) {
    for (int64_t c = 0; c < g.K; c += kVecFloats) {
      const int64_t at = (c / kTileColumns * g.C + k) * kTileColumns + c % kTileColumns;
      Vec half[3][F::kIn];
      PYCONV_UNROLL
      for (int j = 0; j < F::kIn; ++j) {
        Vec column[F::kIn], short_column[3];
        PYCONV_UNROLL
        for (int i = 0; i < F::kIn; ++i) column[i] = added((i * F::kIn + j) * g.weight_plane() + at);
        F::weight_gradient(column, short_column);
        PYCONV_UNROLL
        for (int i = 0; i < 3; ++i) half[i][j] = short_column[i];
      }
      PYCONV_UNROLL
      for (int i = 0; i < 3; ++i) {
        Vec row[3];
        F::weight_gradient(half[i], row);
        for (int j = 0; j < 3; ++j)
          store_part(pass.dweight + ((i * 3 + j) * g.C + k) * g.K + c, row[j], min(kVecFloats, g.K - c));
      }
    }
  });
  for (int64_t c = 0; pass.dbias && c < g.K; c += kVecFloats)
    store_part(pass.dbias + c, added(g.kPlanes * g.weight_plane() + c), min(kVecFloats, g.K - c));
}

template <class F>
size_t workspace(const Conv2dShape& s) {
  const Tiling<F> g(s, false);
  return static_cast<size_t>(weight_parts(g) * part_floats(g) + g.zeros()) * sizeof(float);
}

}  // namespace

void backward_weight_f2x2(const Context& context, const Conv2dShape& s, const BackwardWeightPass& pass) {
  run<WinogradF2>(context, s, pass);
}
void backward_weight_f4x4(const Context& context, const Conv2dShape& s, const BackwardWeightPass& pass) {
  run<WinogradF4>(context, s, pass);
}
size_t weight_workspace_f2x2(const Conv2dShape& s) {
  return workspace<WinogradF2>(s);
}
size_t weight_workspace_f4x4(const Conv2dShape& s) {
  return workspace<WinogradF4>(s);
}

}  // namespace pyconv::cpu::PYCONV_CPU_ISA::winograd
