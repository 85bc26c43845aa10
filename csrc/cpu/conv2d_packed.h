// Weights packed for `multiply`, and the workspace of the passes that walk phases with them.
#pragma once

#include "conv2d_epilogue.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {
namespace {

struct Pass {
  GroupChannels channels;
  int64_t taps;         // of all phases
  const float* source;  // (N, source_H, source_W, source channels)
  const float* packed;  // (groups, column blocks, taps, source channels of a group, kTileColumns)
  const float* zeros;   // source channels of a group
  const float* bias;    // null: 0
  float* target;

  int64_t column_blocks() const { return ceil_div(channels.target, kTileColumns); }
  int64_t block_floats() const { return taps * channels.source * kTileColumns; }
};

constexpr int64_t kChunkTiles = 16;
PYCONV_INLINE int64_t point_chunks(int64_t points) {
  return ceil_div(points, kChunkTiles * kTileRows);
}

// Packs weight (KH, KW, C_in / groups, C_out) for the pass, taps in the order of the phases, columns beyond
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
      // A vector along the kernel's rows for each column: neither side then leaves the nearest cache.
      for (int64_t k = 0; k < rows; k += kVecFloats) {
        const int64_t lanes = min(kVecFloats, rows - k);
        for (int64_t c = 0; c < kTileColumns; ++c) {
          const float* in = kernel + (block * kTileColumns + c) * s.C_out + group * rows + k;
          const Vec value = c < width ? load_lanes(in, lanes) : Vec{};
          float* column = out + k * kTileColumns + c;
          if (lanes == kVecFloats) {
            PYCONV_UNROLL
            for (int i = 0; i < kVecFloats; ++i) column[i * kTileColumns] = value[i];
          } else {
            for (int64_t i = 0; i < lanes; ++i) column[i * kTileColumns] = value[i];
          }
        }
      }
      return;
    }
    kernel += group * columns + block * kTileColumns;
    for (int64_t k = 0; k < rows; ++k, out += kTileColumns, kernel += s.C_out)
      for (int64_t c = 0; c < kTileColumns; ++c) out[c] = c < width ? kernel[c] : 0;
  });
}

// The workspace: packed weights, zeros, taps, and the sums that an epilogue takes.
struct PassWorkspace {
  int64_t packed_floats, zero_floats, taps, chunks, channels;

  PassWorkspace(const Conv2dShape& s, bool backward) {
    const int64_t source = (backward ? s.C_out : s.C_in) / s.groups,
                  target = (backward ? s.C_in : s.C_out) / s.groups;
    taps = s.KH * s.KW;
    packed_floats = s.groups * round_up(target, kTileColumns) * taps * source;
    zero_floats = round_up(source, 16);
    channels = round_up(s.groups * target, kTileColumns);
    const int64_t phases = backward ? min(s.stride_h, s.H) * min(s.stride_w, s.W) : 1;
    chunks = point_chunks(backward ? s.N * s.H * s.W : s.N * s.OH * s.OW) + phases;
  }
  ChunkTotals totals(void* memory) const {
    char* end = static_cast<char*>(memory) + (packed_floats + zero_floats) * 4;
    return {reinterpret_cast<double*>(end + taps * static_cast<int64_t>(sizeof(Tap))), chunks, channels};
  }
  size_t bytes() const {
    return static_cast<size_t>(packed_floats + zero_floats + chunks * ChannelSums::total_floats(channels)) *
               sizeof(float) +
           static_cast<size_t>(taps) * sizeof(Tap);
  }
};

PYCONV_INLINE Pass make_pass(const Conv2dShape& s, bool backward) {
  Pass pass{};
  pass.channels = backward ? GroupChannels{s.groups, s.C_out / s.groups, s.C_in / s.groups}
                           : GroupChannels{s.groups, s.C_in / s.groups, s.C_out / s.groups};
  pass.taps = s.KH * s.KW;
  return pass;
}

PYCONV_INLINE void write_taps(const Conv2dShape& s, bool backward, Tap* taps) {
  for (int64_t t = 0; t < s.KH * s.KW; ++t) taps[t] = {};  // an image smaller than the stride leaves some unused
  const auto ignore = [](const Phase&) {};
  backward ? backward_input_phases(s, taps, ignore) : forward_phase(s, taps, ignore);
}

// Totals of chunks that no phase has are 0: merging them changes nothing.
PYCONV_INLINE ChunkTotals cleared(const ChunkTotals& totals) {
  __builtin_memset(totals.rows, 0, static_cast<size_t>(totals.chunks * 2 * totals.channels) * sizeof(double));
  return totals;
}

}  // namespace
}  // namespace pyconv::cpu::PYCONV_CPU_ISA
