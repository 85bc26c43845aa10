// Direct and im2col convolution, forward and input gradient. Output pixels are cut into chunks of some hundred,
// which threads take. A chunk goes through its pixels in tiles of kTileRows: it finds the input pixels that a
// tile's taps read, and multiplies them by the packed weights, sums in registers (gemm.h). At its end, while its
// outputs are still in the L1 cache, it lets the epilogue pass over them (conv2d_epilogue.h).
//
// The two differ in how a tile's input is made ready for the product, which is the template argument `Input`:
//
//   Input(walk, phase, points, group)  of a tile's points
//   fill(tile)                         sets the tile's taps, rows a, weights b and depth K for a part of the sum
//   more()                             whether another part is to come
#pragma once

#include "conv2d_packed.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {
namespace {

struct Walk : PackedPass {
  const float* source;   // (N, source_H, source_W, source channels)
  const float* weights;  // `packed`, or prepared before
  const float* bias;     // null: 0
  float* target;

  // Of the first column block.
  const float* weights_of(const Phase& phase, int64_t group) const {
    return weights + (group * column_blocks() * tap_count + (phase.taps - taps)) * channels.source * kTileColumns;
  }
};

// The points of one tile.
struct Points {
  int64_t count;
  const float* base[kTileRows];  // source pixel (i * step_h, j * step_w), which may lie outside the image
  int64_t h[kTileRows], w[kTileRows];
  int64_t h_min, h_max, w_min, w_max;

  PYCONV_INLINE_MEMBER bool inside(const Phase& phase, const Tap& tap, int64_t i) const {
    const uint64_t row = static_cast<uint64_t>(h[i] + tap.dh), column = static_cast<uint64_t>(w[i] + tap.dw);
    return row < static_cast<uint64_t>(phase.source_H) && column < static_cast<uint64_t>(phase.source_W);
  }
  PYCONV_INLINE_MEMBER bool all_inside(const Phase& phase, const Tap& tap) const {
    return h_min + tap.dh >= 0 && h_max + tap.dh < phase.source_H && w_min + tap.dw >= 0 &&
           w_max + tap.dw < phase.source_W;
  }
};

struct Point {
  int64_t n, i, j;  // image, row and column of a point
};

// The `count` points from `at` on, in y too; moves `at` behind them.
PYCONV_INLINE Points points_at(const Walk& walk, const Phase& phase, Point& at, int64_t count,
                               RegisterTile& tile) {
  Points points;
  points.count = count;
  points.h_min = points.w_min = INT64_MAX;
  points.h_max = points.w_max = INT64_MIN;
  const int64_t source_step = phase.step_w * walk.channels.source_all();
  const int64_t target_step = phase.target_w * walk.channels.target_all();
  for (int64_t r = 0; r < count;) {  // one turn for each row that the tile meets
    const int64_t run = min(count - r, phase.W - at.j), h = at.i * phase.step_h, w = at.j * phase.step_w;
    const int64_t row = at.n * phase.source_H + h;
    const float* base = walk.source + row * phase.source_W * walk.channels.source_all() + at.j * source_step;
    float* y = walk.target + at.j * target_step +
               (phase.target_first + at.n * phase.target_n + at.i * phase.target_h) * walk.channels.target_all();
    const auto set = [&](int64_t place, int64_t k) {
      points.h[place] = h;
      points.w[place] = w + k * phase.step_w;
      points.base[place] = base + k * source_step;
      tile.y[place] = y + k * target_step;
    };
    if (run == count) {  // the usual case: a constant number of turns, in vectors, of which some may be idle
      PYCONV_UNROLL
      for (int k = 0; k < kTileRows; ++k) set(k, k);
    } else {
      for (int64_t k = 0; k < run; ++k) set(r + k, k);
    }
    points.h_min = min(points.h_min, h);
    points.h_max = max(points.h_max, h);
    points.w_min = min(points.w_min, w);
    points.w_max = max(points.w_max, w + (run - 1) * phase.step_w);
    r += run;
    at.j += run;
    if (at.j < phase.W) break;
    at.j = 0;
    if (++at.i == phase.H) at.i = 0, ++at.n;
  }
  return points;
}

// Prefetches roughly the next tile's pixels: it mostly lies to the right of this one. Where pixels follow closely
// on each other, the hardware foresees better than this does.
PYCONV_INLINE void fetch_ahead(const Walk& walk, const Phase& phase, const Points& points,
                               const RegisterTile& tile, bool fetch_source, int64_t first_column,
                               int64_t columns) {
  const int64_t source = walk.channels.source_all(), target = walk.channels.target_all();
  if (phase.target_w > 1 || target > kNarrowChannels) {
    for (int64_t r = 0; r < points.count; ++r) {
      const float* y = tile.y[r] + kTileRows * phase.target_w * target + first_column;
      for (int64_t c = 0; c < columns; c += 16) __builtin_prefetch(y + c, 1, 2);
    }
  }
  if (fetch_source && (phase.step_w > 1 || source >= kNarrowChannels)) {
    for (int64_t r = 0; r < points.count; ++r) {
      const float* x = points.base[r] + kTileRows * phase.step_w * source;
      for (int64_t c = 16; c <= source; c += 16) __builtin_prefetch(x + c - 16, 0, 2);
    }
  }
}

// Computes points [range) of a phase, and of their outputs the column blocks [units), counted over all groups.
// `rows` gets each point's output.
template <class Input>
[[gnu::noinline]] void multiply_chunk(const Walk& walk, const Phase& phase, Range range, Range units,
                                      float** rows) {
  const int64_t blocks = walk.column_blocks();
  // Column blocks whose weights stay in the L2 while the chunk's points go by.
  const int64_t band = max(1, kBandFloats / max(1, phase.tap_count * walk.channels.source * kTileColumns));
  RegisterTile tile;
  for (int64_t band_begin = units.begin; band_begin < units.end; band_begin += band) {
    const int64_t band_end = min(units.end, band_begin + band);
    Point at{range.begin / (phase.H * phase.W), range.begin / phase.W % phase.H, range.begin % phase.W};
    for (int64_t first = range.begin; first < range.end; first += kTileRows) {
      const int64_t count = min(kTileRows, range.end - first);
      const Points points = points_at(walk, phase, at, count, tile);
      PYCONV_UNROLL
      for (int r = 0; r < kTileRows; ++r) rows[first - range.begin + r] = tile.y[r];  // beyond count: no matter
      fetch_ahead(walk, phase, points, tile, band_begin == units.begin, band_begin * kTileColumns,
                  (band_end - band_begin) * kTileColumns);
      for (int64_t unit = band_begin; unit < band_end;) {
        const int64_t group = unit / blocks, group_end = min(band_end, (group + 1) * blocks);
        const int64_t column = group * walk.channels.target;
        PYCONV_UNROLL
        for (int r = 0; r < kTileRows; ++r) tile.y[r] += column;
        tile.bias = walk.bias ? walk.bias + column : nullptr;
        tile.columns = walk.channels.target;
        tile.accumulate = false;
        Input input(walk, phase, points, group);
        do {
          input.fill(tile);
          multiply_blocks(count, tile, walk.block_floats(), unit - group * blocks, group_end - group * blocks);
          tile.accumulate = true;
        } while (input.more());
        PYCONV_UNROLL
        for (int r = 0; r < kTileRows; ++r) tile.y[r] -= column;
        unit = group_end;
      }
    }
  }
}

// Lets the epilogue of the pass go over a chunk's outputs, channels [begin, end) of them. Not inlined: it would
// take registers from the products.
template <class Arguments>
[[gnu::noinline]] void finish_chunk(const Arguments& arguments, const TargetShape& target,
                                    const ChunkTotals& totals, int64_t chunk, float* const* rows, int64_t count,
                                    int64_t begin, int64_t end) {
  const int64_t channels = totals.channels;
  float* scratch = static_cast<float*>(
      thread_scratch(static_cast<size_t>(ChannelSums::scratch_floats(channels)) * sizeof(float)));
  const ChannelSums sums(channels, scratch, totals.rows + chunk * 2 * channels);
  sums.start(begin, min(round_up(end, kTileColumns), channels));
  with_epilogue(arguments, nullptr, target, [&](const auto& epilogue) {  // the bias is in the sums already
    finish_rows(epilogue, rows, count, begin, end, true, sums);
    epilogue.end_block(sums, begin, end, count);
  });
}

// All points of a phase. `first_chunk` numbers the chunks over all phases.
template <class Input, class Arguments>
PYCONV_INLINE void run_phase(const Walk& walk, const Phase& phase, int64_t first_chunk, const Arguments& arguments,
                             const TargetShape& target) {
  const int64_t total = phase.points(), runs = point_chunks(total);
  const int64_t units = walk.column_blocks() * walk.channels.groups;
  // Where pixels are few, chunks share out the output channels as well. Each output is computed by one chunk, as
  // it would be without, so that the results are the same.
  const int64_t splits = runs >= 64 ? 1 : units;
  parallel(runs * splits, [&](int64_t chunk) {
    const int64_t run = chunk / splits;
    const Range range = long_chunk_range(total, runs, run, kTileRows);
    const Range mine = chunk_range(units, splits, chunk % splits);
    float* rows[(kChunkTiles + 1) * kTileRows];
    multiply_chunk<Input>(walk, phase, range, mine, rows);
    if (has_epilogue(arguments))  // there is one group
      finish_chunk(arguments, target, walk.chunk_totals(), first_chunk + run, rows, range.end - range.begin,
                   mine.begin * kTileColumns, min(mine.end * kTileColumns, walk.channels.target));
  });
}

// A whole pass, of which `walk` has source, bias and target.
template <class Input, class Arguments>
PYCONV_INLINE void run_pass(const Conv2dShape& s, Walk walk, const Arguments& arguments, const float* prepared,
                            const TargetShape& target) {
  for (int64_t k = 0; k < walk.channels.source; ++k) walk.zeros[k] = 0;
  walk.write_phases(s);
  walk.weights = prepared ? prepared : walk.packed;
  if (!prepared) pack_weight(s, walk, arguments.weight, walk.packed);
  const ChunkTotals totals = walk.chunk_totals();
  if (takes_sums(arguments)) totals.clear();  // of chunks that no phase has, too
  int64_t first_chunk = 0;
  for (int64_t i = 0; i < walk.phase_count; ++i) {
    run_phase<Input>(walk, walk.phases[i], first_chunk, arguments, target);
    first_chunk += point_chunks(walk.phases[i].points());
  }
  write_sums(arguments, target, totals);
}

template <class Input>
PYCONV_INLINE void run_forward(const Context& context, const Conv2dShape& s, const ForwardPass& p) {
  const Walk walk{{s, false, context.workspace}, p.x, nullptr, p.bias, p.y};
  run_pass<Input>(s, walk, p, p.prepared, {s.N, s.OH, s.OW, s.C_out});
}

template <class Input>
PYCONV_INLINE void run_backward_input(const Context& context, const Conv2dShape& s, const BackwardInputPass& p) {
  const Walk walk{{s, true, context.workspace}, p.dy, nullptr, nullptr, p.dx};
  run_pass<Input>(s, walk, p, nullptr, {s.N, s.H, s.W, s.C_in});
}

}  // namespace
}  // namespace pyconv::cpu::PYCONV_CPU_ISA
