// 3x3 convolution of stride 1 by Winograd's minimal filtering, forward and input gradient. A chunk owns a run of
// blocks of tiles: it transforms a block, multiplies each plane by that plane of the transformed weights, and
// transforms the products back, a column block of the target at a time, so that its planes stay in the L2.
#include "conv2d_winograd.h"

#include "conv2d_epilogue.h"

namespace pyconv::cpu::PYCONV_CPU_ISA::winograd {
namespace {

// U[plane][column block][source channel][column]. `backward`: kernels turned by 180 degrees, channels swapped.
template <class F>
PYCONV_INLINE void transform_weight(const Tiling<F>& g, const Conv2dShape& s, const float* weight, bool backward,
                                    float* U) {
  const int64_t column_vecs = g.target_row() / kVecFloats;
  const auto one = [&](int64_t k, int64_t c, const Vec(&w)[3][3]) PYCONV_LANES_BODY {
    Vec half[F::kIn][3];
    PYCONV_UNROLL
    for (int j = 0; j < 3; ++j) {
      const Vec column[3] = {w[0][j], w[1][j], w[2][j]};
      Vec long_column[F::kIn];
      F::weight(column, long_column);
      PYCONV_UNROLL
      for (int i = 0; i < F::kIn; ++i) half[i][j] = long_column[i];
    }
    float* out = U + (c / kTileColumns * g.C + k) * kTileColumns + c % kTileColumns;
    PYCONV_UNROLL
    for (int i = 0; i < F::kIn; ++i) {
      Vec row[F::kIn];
      F::weight(half[i], row);
      PYCONV_UNROLL
      for (int j = 0; j < F::kIn; ++j) store(out + (i * F::kIn + j) * g.weight_plane(), row[j]);
    }
  };
  if (!backward) {
    parallel(g.C, [&](int64_t k) {
      for (int64_t v = 0; v < column_vecs; ++v) {
        const int64_t c = v * kVecFloats, lanes = max(0, min(kVecFloats, g.K - c));
        Vec w[3][3];
        PYCONV_UNROLL
        for (int t = 0; t < 9; ++t) w[t / 3][t % 3] = load_lanes(weight + (t * s.C_in + k) * s.C_out + c, lanes);
        one(k, c, w);
      }
    });
    return;
  }
  // Source channels are the kernel's columns: a square of kVecFloats x kVecFloats is turned in the cache.
  parallel(ceil_div(g.C, kVecFloats) * column_vecs, [&](int64_t chunk) {
    const int64_t first = chunk / column_vecs * kVecFloats, c = chunk % column_vecs * kVecFloats;
    const int64_t lanes = max(0, min(kVecFloats, g.K - c)), count = min(kVecFloats, g.C - first);
    alignas(64) float turned[9][kVecFloats][kVecFloats];  // [tap][source channel][target channel]
    for (int t = 0; t < 9; ++t) {
      const float* kernel = weight + ((8 - t) * s.C_in + c) * s.C_out + first;
      for (int64_t lane = 0; lane < kVecFloats; ++lane)
        for (int64_t k = 0; k < count; ++k) turned[t][k][lane] = lane < lanes ? kernel[lane * s.C_out + k] : 0;
    }
    for (int64_t k = 0; k < count; ++k) {
      Vec w[3][3];
      PYCONV_UNROLL
      for (int t = 0; t < 9; ++t) w[t / 3][t % 3] = load(turned[t][k]);
      one(first + k, c, w);
    }
  });
}

// How a pass is cut: runs of blocks, by the shape alone, and where these are fewer than the threads, column blocks
// of the target, each with its own transform of the source. Each output is computed as it would be by one thread.
template <class F>
struct Chunks {
  int64_t runs, splits;

  explicit Chunks(const Tiling<F>& g) {
    constexpr int64_t kEnough = 16, kBlocksInRow = 8;  // a run prefetches from block to block
    runs = max(1, min(g.blocks(), max(kEnough, g.blocks() / kBlocksInRow)));
    splits = min(g.column_blocks(), ceil_div(num_threads(), runs));
  }
};

// The workspace: transformed weights, zeros, and the sums that an epilogue takes.
template <class F>
struct Workspace {
  float *U, *zeros;
  double* totals;

  Workspace(const Tiling<F>& g, void* memory) {
    U = static_cast<float*>(memory);
    zeros = U + g.kPlanes * g.weight_plane();
    totals = reinterpret_cast<double*>(zeros + round_up(g.zeros(), 16));
  }
  ChunkTotals sums(const Tiling<F>& g) const { return {totals, Chunks<F>(g).runs, g.target_row()}; }
  static size_t bytes(const Tiling<F>& g) {
    const int64_t floats = g.kPlanes * g.weight_plane() + round_up(g.zeros(), 16) +
                           Chunks<F>(g).runs * ChannelSums::total_floats(g.target_row());
    return static_cast<size_t>(floats) * sizeof(float);
  }
};

// The square of outputs of a Winograd tile.
template <bool kWhole, int kOut, class Epilogue>
PYCONV_INLINE void finish_tile(const Epilogue& e, const TileOutput& t, const ChannelSums& sums,
                               Vec (&square)[kOut][kOut]) {
  const int64_t first = e.target.offset(t), row = e.target.W * e.target.K, pixel = e.target.K;
  Vec total{};
  if (t.first) for_pixels<kWhole, kOut>(t, [&](int64_t i, int64_t j) PYCONV_LANES_BODY { total += square[i][j]; });
  const Vec mean = total / static_cast<float>(t.rows * t.columns);
  typename Epilogue::template Finisher<kWhole> channels(e, sums, t, mean);
  for_pixels<kWhole, kOut>(t, [&](int64_t i, int64_t j) PYCONV_LANES_BODY {
    square[i][j] = channels.next(square[i][j], first + i * row + j * pixel);
  });
  channels.end();
  float* out = e.y + first;
  if (!kWhole) {
    if (e.y)
      for_pixels<kWhole, kOut>(t, [&](int64_t i, int64_t j) PYCONV_LANES_BODY {
        store_part(out + i * row + j * pixel, square[i][j], t.lanes);
      });
  } else if (e.streams) {
    for_pixels<kWhole, kOut>(
        t, [&](int i, int j) PYCONV_LANES_BODY { stream(out + i * row + j * pixel, square[i][j]); });
  } else if (e.y) {
    for_pixels<kWhole, kOut>(
        t, [&](int i, int j) PYCONV_LANES_BODY { store(out + i * row + j * pixel, square[i][j]); });
  }
  if constexpr (requires { e.argmax(); })
    if (e.pooled) pool_tile<kWhole>(e.target, t, e.pool_sign(t), square, e.pooled, e.argmax());
}

template <class F, class Epilogue>
PYCONV_INLINE void transform_output(const Tiling<F>& g, const float* M, int64_t first, int64_t count,
                                    int64_t column, bool first_block, const ChannelSums& sums,
                                    const Epilogue& epilogue) {
  const int64_t plane = g.column_plane();
  TileWalk<F> at(g, first);
  for (int64_t t = 0; t < count; ++t, at.next()) {
    const int64_t rows = min(F::kOut, g.OH - at.h), columns = min(F::kOut, g.OW - at.w);
    for (int v = 0; v < kTileVecs; ++v) {
      const int64_t channel = column + v * kVecFloats, lanes = min(kVecFloats, g.K - channel);
      if (lanes <= 0) break;
      const float* in = M + t * kTileColumns + v * kVecFloats;
      Vec square[F::kOut][F::kOut];
      winograd_output<F>([&](int i, int j) PYCONV_LANES_BODY { return load(in + (i * F::kIn + j) * plane); },
                         square);
      const TileOutput tile{at.n, at.h, at.w, rows, columns, channel, lanes, first_block && t == 0};
      if (rows == F::kOut && columns == F::kOut && lanes == kVecFloats)
        finish_tile<true>(epilogue, tile, sums, square);
      else
        finish_tile<false>(epilogue, tile, sums, square);
    }
  }
}

// Pixels of the target in tiles [first, first + count).
template <class F>
PYCONV_INLINE int64_t pixels_of(const Tiling<F>& g, int64_t first, int64_t count) {
  if (g.OH % F::kOut == 0 && g.OW % F::kOut == 0) return count * F::kOut * F::kOut;
  int64_t pixels = 0;
  TileWalk<F> at(g, first);
  for (int64_t t = 0; t < count; ++t, at.next()) pixels += min(F::kOut, g.OH - at.h) * min(F::kOut, g.OW - at.w);
  return pixels;
}

// `beside`, of the target's shape or null, is what the epilogue reads.
template <class F, class Epilogue>
void correlate(const Tiling<F>& tiling, const Workspace<F>& workspace, const float* U, const float* source,
               const ScaleShift& input, const float* beside, const Epilogue& shared_epilogue) {
  const Chunks<F> chunks(tiling);
  __builtin_memset(workspace.zeros, 0, static_cast<size_t>(tiling.zeros()) * sizeof(float));
  parallel(chunks.runs * chunks.splits, [=, &shared_epilogue](int64_t chunk) {
    const Tiling<F> g = tiling;  // copies that no store can alias
    const Epilogue epilogue = shared_epilogue;
    const int64_t run = chunk / chunks.splits;
    const Range blocks = chunk_range(g.blocks(), chunks.runs, run);
    const Range columns = chunk_range(g.column_blocks(), chunks.splits, chunk % chunks.splits);
    const int64_t V_floats = g.kPlanes * g.source_plane(), M_floats = g.kPlanes * g.column_plane();
    const int64_t floats = V_floats + M_floats + g.square() + ChannelSums::scratch_floats(g.target_row());
    float* V = static_cast<float*>(thread_scratch(static_cast<size_t>(floats) * sizeof(float)));
    float *M = V + V_floats, *square = M + M_floats;
    const ChannelSums sums(g.target_row(), square + g.square(), workspace.totals + run * 2 * g.target_row());
    const int64_t channel_begin = columns.begin * kTileColumns, channel_end = columns.end * kTileColumns;
    sums.start(channel_begin, channel_end);
    for (int64_t block = blocks.begin; block < blocks.end; ++block) {
      const int64_t first = block * g.block, count = min(g.block, g.tiles() - first);
      const int64_t next = block + 1 < blocks.end ? min(g.block, g.tiles() - first - count) : 0;
      const int64_t steps = g.kPlanes * (columns.end - columns.begin) * ceil_div(count, kTileRows);
      Prefetch ahead = prefetch_tiles(g, source, g.H, g.W, g.C, F::kOut, first + count, next, steps);
      Prefetch read = prefetch_tiles(g, beside, g.OH, g.OW, g.K, F::kOut, first, count, steps);
      transform_input(g, source, input, first, count, InputScratch<F>{workspace.zeros, square}, V);
      for (int64_t column = columns.begin; column < columns.end; ++column) {
        for (int plane = 0; plane < g.kPlanes; ++plane) {
          const float* b = U + plane * g.weight_plane() + column * g.C * kTileColumns;
          const float* a = V + plane * g.source_plane();
          float* y = M + plane * g.column_plane();
          for (int64_t t = 0; t < count; t += kTileRows) {
            ahead.step();
            read.step();
            multiply_strided_rows(min(kTileRows, count - t), a + t * g.source_row(), g.source_row(), 1, 0, g.C, b,
                                  y + t * kTileColumns, kTileColumns);
          }
        }
        transform_output(g, M, first, count, column * kTileColumns, block == blocks.begin, sums, epilogue);
      }
      epilogue.end_block(sums, channel_begin, channel_end, pixels_of(g, first, count));
    }
    end_streams();
  });
}

template <class F>
void forward(const Context& context, const Conv2dShape& s, const ForwardPass& pass) {
  const Tiling<F> g(s, false);
  const Workspace<F> workspace(g, context.workspace);
  const float* U = pass.prepared;
  if (!U) transform_weight(g, s, pass.weight, false, workspace.U), U = workspace.U;
  with_epilogue(pass, pass.bias, g.target(),
                [&](const auto& epilogue) { correlate(g, workspace, U, pass.x, pass.input, nullptr, epilogue); });
  write_sums(pass, g.target(), workspace.sums(g));
}

template <class F>
void backward_input(const Context& context, const Conv2dShape& s, const BackwardInputPass& pass) {
  const Tiling<F> g(s, true);
  const Workspace<F> workspace(g, context.workspace);
  transform_weight(g, s, pass.weight, true, workspace.U);
  with_epilogue(pass, nullptr, g.target(), [&](const auto& epilogue) {
    correlate(g, workspace, workspace.U, pass.dy, {}, pass.reduction.x, epilogue);
  });
  write_sums(pass, g.target(), workspace.sums(g));
}

template <class F, auto weight_workspace>
size_t workspace(const Conv2dShape& s, Conv2dPass pass) {
  if (pass == Conv2dPass::kBackwardWeight) return weight_workspace(s);
  return Workspace<F>::bytes({s, pass == Conv2dPass::kBackwardInput});
}

template <class F>
size_t prepared_bytes(const Conv2dShape& s) {
  const Tiling<F> g(s, false);
  return static_cast<size_t>(g.kPlanes * g.weight_plane()) * sizeof(float);
}

template <class F>
void prepare(const Context&, const Conv2dShape& s, const float* weight, float* prepared) {
  transform_weight(Tiling<F>(s, false), s, weight, false, prepared);
}

// A row of the table; the weight gradient is in a file of its own.
template <class F, auto backward_weight, auto weight_workspace>
constexpr Algorithm algorithm() {
  return {
      .fits = [](const Conv2dShape& s) { return fits_winograd(s); },
      .forward = forward<F>,
      .backward_input = backward_input<F>,
      .backward_weight = backward_weight,
      .workspace = workspace<F, weight_workspace>,
      .prepared_bytes = prepared_bytes<F>,
      .prepare = prepare<F>,
      .fusions = kFuseEpilogue | kFusePool | kFuseInput | kFuseReduction | kFuseGradient,
  };
}

}  // namespace
}  // namespace pyconv::cpu::PYCONV_CPU_ISA::winograd

namespace pyconv::cpu::PYCONV_CPU_ISA {

const Algorithm kWinogradF2x2 =
    winograd::algorithm<WinogradF2, winograd::backward_weight_f2x2, winograd::weight_workspace_f2x2>();
const Algorithm kWinogradF4x4 =
    winograd::algorithm<WinogradF4, winograd::backward_weight_f4x4, winograd::weight_workspace_f4x4>();

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
