// Forward and input gradient: one walk over the pixels of a phase in tiles, with weights packed for
// `multiply`. How a tile's rows are had (pointers into the image, or copies) is the algorithm's.
#pragma once

#include "conv2d_packed.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {
namespace {

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
PYCONV_INLINE Points points_at(const Pass& pass, const Phase& phase, Point& at, int64_t count,
                               RegisterTile& tile) {
  Points points;
  points.count = count;
  points.h_min = points.w_min = INT64_MAX;
  points.h_max = points.w_max = INT64_MIN;
  const int64_t source_step = phase.step_w * pass.channels.source_all();
  const int64_t target_step = phase.target_w * pass.channels.target_all();
  for (int64_t r = 0; r < count;) {  // one turn for each row that the tile meets
    const int64_t run = min(count - r, phase.W - at.j), h = at.i * phase.step_h, w = at.j * phase.step_w;
    const int64_t row = at.n * phase.source_H + h;
    const float* base = pass.source + row * phase.source_W * pass.channels.source_all() + at.j * source_step;
    float* y = pass.target + at.j * target_step +
               (phase.target_first + at.n * phase.target_n + at.i * phase.target_h) * pass.channels.target_all();
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

// The next tile's pixels, roughly: it mostly lies right of this one. What follows on this one's memory the
// hardware foresees better.
PYCONV_INLINE void fetch_ahead(const Pass& pass, const Phase& phase, const Points& points,
                               const RegisterTile& tile, bool fetch_source, int64_t first_column,
                               int64_t columns) {
  const int64_t source = pass.channels.source_all(), target = pass.channels.target_all();
  if (phase.target_w > 1 || target > kFewChannels) {
    for (int64_t r = 0; r < points.count; ++r) {
      const float* y = tile.y[r] + kTileRows * phase.target_w * target + first_column;
      for (int64_t c = 0; c < columns; c += 16) __builtin_prefetch(y + c, 1, 2);
    }
  }
  if (fetch_source && (phase.step_w > 1 || source >= kFewChannels)) {
    for (int64_t r = 0; r < points.count; ++r) {
      const float* x = points.base[r] + kTileRows * phase.step_w * source;
      for (int64_t c = 16; c <= source; c += 16) __builtin_prefetch(x + c - 16, 0, 2);
    }
  }
}

// What to do with a chunk's outputs while they are in the cache: an epilogue's policy with its type erased.
struct Finish {
  const void* policy = nullptr;  // null: nothing
  void (*run)(const void*, float* const* rows, int64_t count, int64_t begin, int64_t end,
              const ChannelSums&) = nullptr;
  ChunkTotals totals{};

  template <class Policy>
  static PYCONV_INLINE_MEMBER Finish with(const Policy& policy, const ChunkTotals& totals) {
    return {
        &policy,
        [](const void* p, float* const* rows, int64_t count, int64_t begin, int64_t end, const ChannelSums& sums) {
          const Policy& self = *static_cast<const Policy*>(p);
          finish_rows(self, rows, count, begin, end, true, sums);
          self.end_block(sums, begin, end, count);
        },
        totals};
  }
};

// Walks the phase. `fill(points, phase, group, packed, tile, multiply)` sets the tile's rows and calls
// `multiply()` one or more times; from the second on, the tile must accumulate.
template <class Fill>
PYCONV_INLINE void run_phase(const Pass& pass, const Phase& phase, int64_t first_tap, const Finish& finish,
                             int64_t first_chunk, const Fill& fill) {
  const int64_t total = phase.points(), blocks = pass.column_blocks(), groups = pass.channels.groups;
  const int64_t runs = point_chunks(total);
  // Few pixels: the output channels are shared out as well. Each output is computed alone, so this moves no bits.
  const int64_t splits = runs >= 64 ? 1 : blocks * groups;
  // Column blocks whose weights stay in L2 while the chunk's points go by.
  const int64_t band = max(1, kBandFloats / max(1, phase.tap_count * pass.channels.source * kTileColumns));
  parallel(runs * splits, [&](int64_t chunk) {
    const Range range = long_chunk_range(total, runs, chunk / splits, kTileRows);
    const Range units = chunk_range(blocks * groups, splits, chunk % splits);
    RegisterTile tile;
    float* rows[(kChunkTiles + 1) * kTileRows];
    for (int64_t band_begin = units.begin; band_begin < units.end; band_begin += band) {
      const int64_t band_end = min(units.end, band_begin + band);
      Point at{range.begin / (phase.H * phase.W), range.begin / phase.W % phase.H, range.begin % phase.W};
      for (int64_t first = range.begin; first < range.end; first += kTileRows) {
        const int64_t count = min(kTileRows, range.end - first);
        const Points points = points_at(pass, phase, at, count, tile);
        PYCONV_UNROLL
        for (int r = 0; r < kTileRows; ++r) rows[first - range.begin + r] = tile.y[r];  // beyond count: no matter
        fetch_ahead(pass, phase, points, tile, band_begin == units.begin, band_begin * kTileColumns,
                    (band_end - band_begin) * kTileColumns);
        for (int64_t unit = band_begin; unit < band_end;) {
          const int64_t group = unit / blocks, group_end = min(band_end, (group + 1) * blocks);
          const int64_t column = group * pass.channels.target;
          const float* packed =
              pass.packed + (group * blocks * pass.taps + first_tap) * pass.channels.source * kTileColumns;
          PYCONV_UNROLL
          for (int r = 0; r < kTileRows; ++r) tile.y[r] += column;
          tile.bias = pass.bias ? pass.bias + column : nullptr;
          tile.columns = pass.channels.target;
          tile.accumulate = false;
          fill(points, group, packed, tile, [&] {
            multiply_blocks(count, tile, pass.block_floats(), unit - group * blocks, group_end - group * blocks);
            tile.accumulate = true;
          });
          PYCONV_UNROLL
          for (int r = 0; r < kTileRows; ++r) tile.y[r] -= column;
          unit = group_end;
        }
      }
    }
    if (!finish.policy) return;
    const int64_t channels = finish.totals.channels, begin = units.begin * kTileColumns;
    const int64_t end = min(units.end * kTileColumns, pass.channels.target);  // one group
    float* scratch = static_cast<float*>(
        thread_scratch(static_cast<size_t>(ChannelSums::scratch_floats(channels)) * sizeof(float)));
    const ChannelSums sums(channels, scratch, finish.totals.rows + (first_chunk + chunk / splits) * 2 * channels);
    sums.start(begin, min(units.end * kTileColumns, channels));
    finish.run(finish.policy, rows, range.end - range.begin, begin, end, sums);
  });
}

// The whole pass: packs, unless `prepared` is, then walks each phase.
template <class Fill>
PYCONV_INLINE void run_pass(const Context& context, const Conv2dShape& s, bool backward, const float* source,
                            const float* weight, const float* prepared, const float* bias, float* target,
                            const Finish& finish, const Fill& fill) {
  const PassWorkspace sizes(s, backward);
  Pass pass = make_pass(s, backward);
  pass.source = source;
  pass.bias = bias;
  pass.target = target;
  float* packed = static_cast<float*>(context.workspace);
  float* zeros = packed + sizes.packed_floats;
  Tap* taps = reinterpret_cast<Tap*>(zeros + sizes.zero_floats);
  pass.packed = prepared ? prepared : packed;
  pass.zeros = zeros;
  for (int64_t k = 0; k < pass.channels.source; ++k) zeros[k] = 0;
  write_taps(s, backward, taps);
  if (!prepared) pack_weight(s, pass, taps, weight, backward, packed);
  int64_t first_chunk = 0;
  const auto run = [&](const Phase& phase) {
    run_phase(pass, phase, phase.taps - taps, finish, first_chunk,
              [&](auto&&... args) { fill(pass, phase, args...); });
    first_chunk += point_chunks(phase.points());
  };
  backward ? backward_input_phases(s, taps, run) : forward_phase(s, taps, run);
}

template <class Fill>
PYCONV_INLINE void run_forward(const Context& context, const Conv2dShape& s, const ForwardPass& p,
                               const Fill& fill) {
  const ChunkTotals totals = PassWorkspace(s, false).totals(context.workspace);
  Finish finish;
  const bool sums = p.epilogue.statistics.mean;
  // The policy lives as long as the call of its visitor; the bias is in the products' sums already.
  with_epilogue(p, nullptr, s.N, {s.OH, s.OW, s.C_out}, sums ? cleared(totals) : totals,
                [&]<class Policy>(const Policy& policy) {
                  if (!Policy::kPlain) finish = Finish::with(policy, totals);
                  run_pass(context, s, false, p.x, p.weight, p.prepared, p.bias, p.y, finish, fill);
                });
}

template <class Fill>
PYCONV_INLINE void run_backward_input(const Context& context, const Conv2dShape& s, const BackwardInputPass& p,
                                      const Fill& fill) {
  const ChunkTotals totals = PassWorkspace(s, true).totals(context.workspace);
  Finish finish;
  with_epilogue(p, s.N, {s.H, s.W, s.C_in}, p.reduction.mean ? cleared(totals) : totals,
                [&]<class Policy>(const Policy& policy) {
                  if (!Policy::kPlain) finish = Finish::with(policy, totals);
                  run_pass(context, s, true, p.dy, p.weight, nullptr, nullptr, p.dx, finish, fill);
                });
}

}  // namespace
}  // namespace pyconv::cpu::PYCONV_CPU_ISA
