// Weight gradient: dweight[tap] = sum over output pixels of x[pixel + tap]^T dy[pixel], and dbias.
//
// Pixels are cut into at most 16 parts. A part goes through its pixels in blocks of kBlockPixels: dy is packed,
// then each tap's outer products are summed in registers, from zero since short sums keep float32 accurate, and
// added to the part's own copy of dweight. At the end the copies are added up, in order: the result does not
// depend on which thread was faster. How a block's products are made is direct's and im2col's own (`add` below).
#pragma once

#include "conv2d_gradient.h"
#include "conv2d_phases.h"
#include "gemm.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {
namespace {

constexpr int kBlockPixels = 256;

struct WeightPass {
  const Conv2dShape& s;
  GroupChannels channels;  // source: x's, target: dy's
  const BackwardWeightPass arguments;
  const float* x;
  int64_t pixels, parts, column_blocks;

  WeightPass(const Conv2dShape& shape, const BackwardWeightPass& p)
      : s(shape), channels(shape, false), arguments(p), x(p.x) {
    pixels = s.N * s.OH * s.OW;
    column_blocks = ceil_div(channels.target, kTileColumns);
    // Large weights have parallelism enough in their columns: fewer parts bound the memory, to about 16 MB.
    const int64_t by_memory =
        max(2, (int64_t{1} << 22) / max(1, rows() * s.groups * column_blocks * kTileColumns));
    parts = max(1, min(min(kMaxPartials, by_memory), ceil_div(pixels, kBlockPixels)));
  }
  // One unit: the gradient of one column block of one group, then a row for dbias.
  int64_t rows() const { return s.KH * s.KW * channels.source; }
  int64_t units() const { return s.groups * column_blocks; }
  int64_t unit_floats() const { return (rows() + 1) * kTileColumns; }
  size_t workspace() const { return static_cast<size_t>(parts * units() * unit_floats()) * sizeof(float); }
};

// dy's block, packed (count, kTileColumns) with zeros beyond the last column; its column sums go to dbias.
template <bool kMade, bool kPooled>
void pack_dy_as(const WeightPass& pass, int64_t first, int64_t count, int64_t channel, int64_t width,
                float* packed, float* dbias) {
  const Conv2dShape& s = pass.s;
  for (int v = 0; v < kTileVecs; ++v) {
    const int64_t lanes = max(0, min(kVecFloats, width - v * kVecFloats));
    const int64_t c = channel + v * kVecFloats;
    const GradientChannels<kMade, kPooled> source(pass.arguments.gradient, s.C_out, c, lanes);
    const TargetShape target{s.N, s.OH, s.OW, s.C_out};
    int64_t n = first / (s.OH * s.OW), h = first / s.OW % s.OH, w = first % s.OW;
    float *out = packed + v * kVecFloats, *sum = dbias + v * kVecFloats;
    Vec sums = load(sum);
    for (int64_t p = 0; p < count; ++p, out += kTileColumns) {
      const GradientPlace place(target, c, n, h - h % 2, w - w % 2);  // of its 2x2 window
      const Vec value = lanes == kVecFloats ? source.template get<true>(place, h % 2, w % 2)
                        : lanes > 0         ? source.template get<false>(place, h % 2, w % 2)
                                            : Vec{};
      store(out, value);
      sums += value;
      if (++w == s.OW) {
        w = 0;
        if (++h == s.OH) h = 0, ++n;
      }
    }
    store(sum, sums);
  }
}

// dy in memory: both vectors of a pixel at a time.
PYCONV_INLINE void copy_dy(const WeightPass& pass, int64_t first, int64_t count, int64_t channel, float* packed,
                           float* dbias) {
  const float* dy = pass.arguments.gradient.d + first * pass.s.C_out + channel;
  Vec sums[kTileVecs];
  PYCONV_UNROLL
  for (int v = 0; v < kTileVecs; ++v) sums[v] = load(dbias + v * kVecFloats);
  for (int64_t p = 0; p < count; ++p, dy += pass.s.C_out, packed += kTileColumns) {
    PYCONV_UNROLL
    for (int v = 0; v < kTileVecs; ++v) {
      const Vec value = load(dy + v * kVecFloats);
      store(packed + v * kVecFloats, value);
      sums[v] += value;
    }
  }
  PYCONV_UNROLL
  for (int v = 0; v < kTileVecs; ++v) store(dbias + v * kVecFloats, sums[v]);
}

PYCONV_INLINE void pack_dy(const WeightPass& pass, int64_t first, int64_t count, int64_t channel, int64_t width,
                           float* packed, float* dbias) {
  if (!pass.arguments.gradient.y && width == kTileColumns)
    return copy_dy(pass, first, count, channel, packed, dbias);
  with_gradient_kind(pass.arguments.gradient, [&](auto made, auto pooled) {
    pack_dy_as<made.value, pooled.value>(pass, first, count, channel, width, packed, dbias);
  });
}

// `add(pass, group, first pixel, count, packed dy, columns, sums)` adds a block's outer products to
// sums (rows, kTileColumns).
template <class Add>
PYCONV_INLINE void run_weight_pass(const Context& context, const WeightPass& pass, const Add& add) {
  const Conv2dShape& s = pass.s;
  float *dweight = pass.arguments.dweight, *dbias = pass.arguments.dbias;
  float* partials = static_cast<float*>(context.workspace);
  const int64_t units = pass.units(), unit_floats = pass.unit_floats(), rows = pass.rows();

  // A chunk takes as many column blocks through its pixels together as leave room for their sums in L2, and as
  // leave 16 chunks. Each unit is summed by itself, so that the results are the same however many go together.
  const int64_t band = max(1, min(kBandFloats / unit_floats, pass.parts * units / kMaxPartials));
  const int64_t bands = ceil_div(units, band);
  parallel(pass.parts * bands, [&](int64_t chunk) {
    const int64_t part = chunk / bands;
    const Range mine = chunk_range(units, bands, chunk % bands);
    float* part_sums = partials + part * units * unit_floats;
    for (int64_t i = mine.begin * unit_floats; i < mine.end * unit_floats; ++i) part_sums[i] = 0;
    alignas(64) float packed[kBlockPixels * kTileColumns];
    const Range range = chunk_range(pass.pixels, pass.parts, part, kBlockPixels);
    for (int64_t first = range.begin; first < range.end; first += kBlockPixels) {
      const int64_t count = min(kBlockPixels, range.end - first);
      for (int64_t unit = mine.begin; unit < mine.end; ++unit) {
        const int64_t group = unit / pass.column_blocks, column = unit % pass.column_blocks * kTileColumns;
        const int64_t width = min(kTileColumns, pass.channels.target - column);
        float* sums = part_sums + unit * unit_floats;
        pack_dy(pass, first, count, group * pass.channels.target + column, width, packed,
                sums + rows * kTileColumns);
        add(pass, group, first, count, packed, width, sums);
      }
    }
  });

  // Row `rows` of a unit is dbias; the others are dweight's rows (kh, kw, ci).
  const int64_t chunks = ceil_div(units * (rows + 1), 64);
  parallel(chunks, [&](int64_t chunk) {
    const Range range = long_chunk_range(units * (rows + 1), chunks, chunk);
    for (int64_t i = range.begin; i < range.end; ++i) {
      const int64_t unit = i / (rows + 1), row = i % (rows + 1);
      const int64_t column = unit % pass.column_blocks * kTileColumns;
      const int64_t channel = unit / pass.column_blocks * pass.channels.target + column;
      float* out = row == rows ? dbias : dweight + row * s.C_out;
      if (!out) continue;
      const int64_t width = min(kTileColumns, pass.channels.target - column);
      for (int64_t c = 0; c < width; ++c) {
        const float* partial = partials + i * kTileColumns + c;
        float sum = *partial;
        for (int64_t part = 1; part < pass.parts; ++part) sum += partial[part * units * unit_floats];
        out[channel + c] = sum;
      }
    }
  });
}

}  // namespace
}  // namespace pyconv::cpu::PYCONV_CPU_ISA
