// Forward and input gradient: one walk over a grid of destination pixels in tiles, with weights packed for
// `multiply`. How a tile's rows are had (pointers into the image, or copies) is the algorithm's.
#pragma once

#include "conv2d.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {
namespace {

constexpr int64_t kBandFloats = 1 << 16;

struct Pass {
  Channels channels;
  int64_t taps;         // of all grids
  const float* source;  // (N, source_H, source_W, source channels)
  const float* packed;  // (groups, column blocks, taps, source channels of a group, kTileColumns)
  const float* zeros;   // source channels of a group
  const float* bias;    // null: 0
  float* target;

  int64_t column_blocks() const { return ceil_div(channels.target, kTileColumns); }
  int64_t block_floats() const { return taps * channels.source * kTileColumns; }
};

// The grid points of one tile.
struct Points {
  int64_t count;
  const float* base[kTileRows];  // source pixel (i * step_h, j * step_w), which may lie outside the image
  int64_t h[kTileRows], w[kTileRows];
  int64_t h_min, h_max, w_min, w_max;

  PYCONV_INLINE_MEMBER bool inside(const Grid& grid, const Tap& tap, int64_t i) const {
    const uint64_t row = static_cast<uint64_t>(h[i] + tap.dh), column = static_cast<uint64_t>(w[i] + tap.dw);
    return row < static_cast<uint64_t>(grid.source_H) && column < static_cast<uint64_t>(grid.source_W);
  }
  PYCONV_INLINE_MEMBER bool all_inside(const Grid& grid, const Tap& tap) const {
    return h_min + tap.dh >= 0 && h_max + tap.dh < grid.source_H && w_min + tap.dw >= 0 &&
           w_max + tap.dw < grid.source_W;
  }
};

struct Place {
  int64_t n, i, j;  // image, row and column of a grid point
};

// The `count` points from `at` on, in y too; moves `at` behind them.
PYCONV_INLINE Points points_at(const Pass& pass, const Grid& grid, Place& at, int64_t count, Tile& tile) {
  Points points;
  points.count = count;
  points.h_min = points.w_min = INT64_MAX;
  points.h_max = points.w_max = INT64_MIN;
  const int64_t source_step = grid.step_w * pass.channels.source_all();
  const int64_t target_step = grid.target_w * pass.channels.target_all();
  for (int64_t r = 0; r < count;) {  // one turn for each row that the tile meets
    const int64_t run = min(count - r, grid.W - at.j), h = at.i * grid.step_h, w = at.j * grid.step_w;
    const int64_t row = at.n * grid.source_H + h;
    const float* base = pass.source + row * grid.source_W * pass.channels.source_all() + at.j * source_step;
    float* y = pass.target + at.j * target_step +
               (grid.target_first + at.n * grid.target_n + at.i * grid.target_h) * pass.channels.target_all();
    const auto set = [&](int64_t place, int64_t k) {
      points.h[place] = h;
      points.w[place] = w + k * grid.step_w;
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
    points.w_max = max(points.w_max, w + (run - 1) * grid.step_w);
    r += run;
    at.j += run;
    if (at.j < grid.W) break;
    at.j = 0;
    if (++at.i == grid.H) at.i = 0, ++at.n;
  }
  return points;
}

// The next tile's pixels, roughly: it mostly lies right of this one.
PYCONV_INLINE void fetch_ahead(const Pass& pass, const Grid& grid, const Points& points, const Tile& tile,
                               int64_t first_column, int64_t columns) {
  const int64_t target_step = grid.target_w * pass.channels.target_all();
  const int64_t source_step = grid.step_w * pass.channels.source_all();
  for (int64_t r = 0; r < points.count; ++r) {
    const float* y = tile.y[r] + kTileRows * target_step + first_column;
    for (int64_t c = 0; c < columns; c += 16) __builtin_prefetch(y + c, 1, 2);
    const float* x = points.base[r] + kTileRows * source_step;
    for (int64_t c = 16; c <= pass.channels.source_all(); c += 16) __builtin_prefetch(x + c - 16, 0, 2);
  }
}

// Walks the grid. `fill(points, grid, group, packed, tile, multiply)` sets the tile's rows and calls
// `multiply()` one or more times; from the second on, the tile must accumulate.
template <class Fill>
PYCONV_INLINE void run_grid(const Pass& pass, const Grid& grid, int64_t first_tap, const Fill& fill) {
  const int64_t total = grid.points(), blocks = pass.column_blocks(), groups = pass.channels.groups;
  const int64_t point_chunks = ceil_div(total, 16 * kTileRows);
  // Few pixels: the output channels are shared out as well. Each output is computed alone, so this moves no bits.
  const int64_t splits = point_chunks >= 64 ? 1 : blocks * groups;
  // Column blocks whose weights stay in L2 while the chunk's points go by.
  const int64_t band = max(1, kBandFloats / max(1, grid.tap_count * pass.channels.source * kTileColumns));
  parallel(point_chunks * splits, [&](int64_t chunk) {
    const Range range = chunk_range(total, point_chunks, chunk / splits, kTileRows);
    const Range units = chunk_range(blocks * groups, splits, chunk % splits);
    Tile tile;
    for (int64_t band_begin = units.begin; band_begin < units.end; band_begin += band) {
      const int64_t band_end = min(units.end, band_begin + band);
      Place at{range.begin / (grid.H * grid.W), range.begin / grid.W % grid.H, range.begin % grid.W};
      for (int64_t first = range.begin; first < range.end; first += kTileRows) {
        const int64_t count = min(kTileRows, range.end - first);
        const Points points = points_at(pass, grid, at, count, tile);
        fetch_ahead(pass, grid, points, tile, band_begin * kTileColumns, (band_end - band_begin) * kTileColumns);
        for (int64_t unit = band_begin; unit < band_end;) {
          const int64_t group = unit / blocks, group_end = min(band_end, (group + 1) * blocks);
          const int64_t column = group * pass.channels.target;
          const float* packed =
              pass.packed + (group * blocks * pass.taps + first_tap) * pass.channels.source * kTileColumns;
          for (int64_t r = 0; r < count; ++r) tile.y[r] += column;
          tile.bias = pass.bias ? pass.bias + column : nullptr;
          tile.columns = pass.channels.target;
          tile.accumulate = false;
          fill(points, group, packed, tile, [&] {
            multiply_blocks(count, tile, pass.block_floats(), unit - group * blocks, group_end - group * blocks);
            tile.accumulate = true;
          });
          for (int64_t r = 0; r < count; ++r) tile.y[r] -= column;
          unit = group_end;
        }
      }
    }
  });
}

// Packs weight (KH, KW, C_in / groups, C_out) for the pass, taps in the order of the grids, columns beyond
// the last filled with zeros. `transposed`: rows are output channels, columns input channels.
PYCONV_INLINE void pack_weight(const Conv2dShape& s, const Pass& pass, const Tap* taps, const float* weight,
                               bool transposed, float* packed) {
  const int64_t blocks = pass.column_blocks(), rows = pass.channels.source, columns = pass.channels.target;
  parallel(pass.channels.groups * blocks * pass.taps, [&](int64_t chunk) {
    const int64_t group = chunk / (blocks * pass.taps), block = chunk / pass.taps % blocks;
    const float* kernel = weight + taps[chunk % pass.taps].kernel * (s.C_in / s.groups) * s.C_out;
    float* out = packed + chunk * rows * kTileColumns;
    const int64_t width = min(kTileColumns, columns - block * kTileColumns);
    if (transposed) {
      // Along the rows of the kernel, some at a time: neither side then leaves the nearest cache.
      for (int64_t begin = 0; begin < rows; begin += kTileColumns) {
        const int64_t end = min(rows, begin + kTileColumns);
        for (int64_t c = 0; c < kTileColumns; ++c) {
          const float* in = kernel + (block * kTileColumns + c) * s.C_out + group * rows;
          for (int64_t k = begin; k < end; ++k) out[k * kTileColumns + c] = c < width ? in[k] : 0;
        }
      }
      return;
    }
    kernel += group * columns + block * kTileColumns;
    for (int64_t k = 0; k < rows; ++k, out += kTileColumns, kernel += s.C_out)
      for (int64_t c = 0; c < kTileColumns; ++c) out[c] = c < width ? kernel[c] : 0;
  });
}

// The whole pass: packs, then walks each grid. Workspace: packed weights, zeros, taps.
template <class Fill>
PYCONV_INLINE void run_pass(const Context& context, const Conv2dShape& s, bool backward, const float* source,
                            const float* weight, const float* bias, float* target, const Fill& fill) {
  Pass pass{};
  pass.channels = backward ? Channels{s.groups, s.C_out / s.groups, s.C_in / s.groups}
                           : Channels{s.groups, s.C_in / s.groups, s.C_out / s.groups};
  pass.taps = s.KH * s.KW;
  pass.source = source;
  pass.bias = bias;
  pass.target = target;
  float* packed = static_cast<float*>(context.workspace);
  float* zeros = packed + pass.channels.groups * pass.column_blocks() * pass.block_floats();
  Tap* taps = reinterpret_cast<Tap*>(zeros + round_up(pass.channels.source, 16));
  pass.packed = packed;
  pass.zeros = zeros;
  for (int64_t k = 0; k < pass.channels.source; ++k) zeros[k] = 0;
  for (int64_t t = 0; t < pass.taps; ++t) taps[t] = {};  // an image smaller than the stride leaves some unused
  const auto ignore = [](const Grid&) {};
  backward ? backward_input_grids(s, taps, ignore) : forward_grid(s, taps, ignore);
  pack_weight(s, pass, taps, weight, backward, packed);
  const auto run = [&](const Grid& grid) {
    run_grid(pass, grid, grid.taps - taps, [&](auto&&... args) { fill(pass, grid, args...); });
  };
  backward ? backward_input_grids(s, taps, run) : forward_grid(s, taps, run);
}

PYCONV_INLINE size_t pass_workspace(const Conv2dShape& s, bool backward) {
  const int64_t source = (backward ? s.C_out : s.C_in) / s.groups,
                target = (backward ? s.C_in : s.C_out) / s.groups;
  const int64_t taps = s.KH * s.KW;
  const int64_t floats = s.groups * round_up(target, kTileColumns) * taps * source + round_up(source, 16);
  return static_cast<size_t>(floats) * sizeof(float) + static_cast<size_t>(taps) * sizeof(Tap);
}

}  // namespace
}  // namespace pyconv::cpu::PYCONV_CPU_ISA
