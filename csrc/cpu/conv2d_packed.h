// What the algorithms share that multiply by packed weights (direct, im2col, few channels): how the weights are
// packed, and how the workspace of a pass is laid out.
#pragma once

#include "conv2d_epilogue.h"
#include "conv2d_phases.h"
#include "gemm.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {
namespace {

// A chunk of work is so many tiles of points: their outputs stay in the L1 until the chunk's end.
constexpr int64_t kChunkTiles = 16;
PYCONV_INLINE int64_t point_chunks(int64_t points) {
  return ceil_div(points, kChunkTiles * kTileRows);
}

// The sizes of a forward pass or an input gradient, and its workspace (null: the sizes alone are asked for).
struct PackedPass {
  bool backward;
  GroupChannels channels;
  int64_t tap_count, phase_count, chunks;  // of all phases; chunks: at most

  float* packed;  // (groups, column blocks, taps, source channels of a group, kTileColumns)
  float* zeros;   // source channels of a group: what is read in the padding
  Phase* phases;
  Tap* taps;
  double* totals;  // of the sums that an epilogue takes

  PackedPass(const Conv2dShape& s, bool input_gradient, void* workspace)
      : backward(input_gradient), channels(s, backward), tap_count(s.KH * s.KW) {
    phase_count = backward ? backward_input_phase_count(s) : 1;
    chunks = point_chunks(backward ? s.N * s.H * s.W : s.N * s.OH * s.OW) + phase_count;
    packed = static_cast<float*>(workspace);
    zeros = packed + packed_floats();
    phases = reinterpret_cast<Phase*>(zeros + round_up(channels.source, 16));
    taps = reinterpret_cast<Tap*>(phases + phase_count);
    totals = reinterpret_cast<double*>(taps + tap_count);
  }
  int64_t column_blocks() const { return ceil_div(channels.target, kTileColumns); }
  int64_t block_floats() const { return tap_count * channels.source * kTileColumns; }
  int64_t packed_floats() const { return channels.groups * column_blocks() * block_floats(); }
  ChunkTotals chunk_totals() const { return {totals, chunks, round_up(channels.target_all(), kTileColumns)}; }
  size_t bytes() const {
    const int64_t floats = packed_floats() + round_up(channels.source, 16) +
                           chunks * ChannelSums::total_floats(chunk_totals().channels);
    return static_cast<size_t>(floats) * sizeof(float) + static_cast<size_t>(phase_count) * sizeof(Phase) +
           static_cast<size_t>(tap_count) * sizeof(Tap);
  }

  void write_phases(const Conv2dShape& s) const {
    for (int64_t t = 0; t < tap_count; ++t) taps[t] = {};  // an image smaller than the stride leaves some unused
    if (backward)
      write_backward_input_phases(s, taps, phases);
    else
      *phases = forward_phase(s, taps);
  }
};

// Packs weight (KH, KW, C_in / groups, C_out): taps in the order of the phases, columns beyond the last filled
// with zeros. In the input gradient the kernel is transposed: rows are output channels, columns input channels.
PYCONV_INLINE void pack_weight(const Conv2dShape& s, const PackedPass& pass, const float* weight, float* packed) {
  const int64_t blocks = pass.column_blocks(), rows = pass.channels.source, columns = pass.channels.target;
  parallel(pass.channels.groups * blocks * pass.tap_count, [&](int64_t chunk) {
    const int64_t group = chunk / (blocks * pass.tap_count), block = chunk / pass.tap_count % blocks;
    const float* kernel = weight + pass.taps[chunk % pass.tap_count].kernel * (s.C_in / s.groups) * s.C_out;
    float* out = packed + chunk * rows * kTileColumns;
    const int64_t width = min(kTileColumns, columns - block * kTileColumns);
    if (pass.backward) {
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

}  // namespace

// The table's entries for the three. ---- conv2d_direct.cpp
size_t packed_workspace(const Conv2dShape&, Conv2dPass);
size_t packed_bytes(const Conv2dShape&);
void prepare_packed(const Context&, const Conv2dShape&, const float* weight, float* prepared);

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
