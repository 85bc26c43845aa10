// The outputs of a convolution that become ready together, a Winograd tile's square or a row's pixels: where they
// lie in the target, how many of them are inside the image, and 2x2 pooling among them.
#pragma once

#include "conv2d.h"
#include "pool2d.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {
namespace {

// The outputs of one tile: where they go, and how many of them the image has.
struct TileOutput {
  int64_t n, h, w;        // image, first pixel
  int64_t rows, columns;  // inside the image
  int64_t channel, lanes;
  bool first;  // of the chunk
};

struct TargetShape {
  int64_t N, H, W, K;
  PYCONV_INLINE_MEMBER int64_t offset(const TileOutput& t) const {
    return ((t.n * H + t.h) * W + t.w) * K + t.channel;
  }
};

PYCONV_INLINE Vec load_lanes(const float* p, int64_t lanes) {
  return lanes == kVecFloats ? load(p) : load_part(p, lanes);
}
PYCONV_INLINE Vec load_or(const float* p, int64_t lanes, float otherwise) {
  return p ? load_lanes(p, lanes) : broadcast(otherwise);
}
PYCONV_INLINE Vec floor_of(bool relu) {
  return broadcast(relu ? 0 : -__builtin_inff());
}
PYCONV_INLINE Vec at_least(Vec low, Vec v) {  // NaN passes
  return v < low ? low : v;
}

// Whether stores that bypass the caches pay: y does not fit them anyway, and its lines are written whole.
PYCONV_INLINE bool streams_to(const float* y, const TargetShape& t) {
  constexpr int64_t kLeastFloats = int64_t{1} << 20;
  return kStreams && y && t.N * t.H * t.W * t.K >= kLeastFloats && t.K % kVecFloats == 0 &&
         reinterpret_cast<uintptr_t>(y) % kVecBytes == 0;
}

// Calls body(i, j) for the pixels of a tile that the image has.
template <bool kWhole, int kOut, class Body>
PYCONV_INLINE void for_pixels(const TileOutput& t, const Body& body) {
  if constexpr (kWhole) {
    PYCONV_UNROLL
    for (int i = 0; i < kOut; ++i) {
      PYCONV_UNROLL
      for (int j = 0; j < kOut; ++j) body(i, j);
    }
  } else {
    for (int64_t i = 0; i < t.rows; ++i)
      for (int64_t j = 0; j < t.columns; ++j) body(i, j);
  }
}

// 2x2 windows of a tile; sign says which end of the values wins (pool2d.h).
template <bool kWhole, int kOut>
PYCONV_INLINE void pool_tile(const TargetShape& target, const TileOutput& t, Vec sign,
                             const Vec (&square)[kOut][kOut], float* pooled, uint8_t* argmax) {
  if constexpr (kOut > 1) {
    using L = Lanes<kVecFloats>;
    const int64_t first = ((t.n * (target.H / 2) + t.h / 2) * (target.W / 2) + t.w / 2) * target.K + t.channel;
    const int64_t rows = kWhole ? kOut / 2 : t.rows / 2, columns = kWhole ? kOut / 2 : t.columns / 2;
    PYCONV_UNROLL
    for (int64_t i = 0; i < rows; ++i) {
      PYCONV_UNROLL
      for (int64_t j = 0; j < columns; ++j) {
        SignedBest<L> best(sign, square[2 * i][2 * j], L::Int{});
        best.visit(square[2 * i][2 * j + 1], L::Int{} + 1);
        best.visit(square[2 * i + 1][2 * j], L::Int{} + 2);
        best.visit(square[2 * i + 1][2 * j + 1], L::Int{} + 3);
        const int64_t at = first + (i * (target.W / 2) + j) * target.K;
        if (t.lanes == kVecFloats) {
          store(pooled + at, best.value);
          if (argmax) store_int<L>(argmax + at, best.offset);
        } else {
          store_part(pooled + at, best.value, t.lanes);
          for (int64_t lane = 0; argmax && lane < t.lanes; ++lane)
            argmax[at + lane] = static_cast<uint8_t>(best.offset[lane]);
        }
      }
    }
  }
}

}  // namespace
}  // namespace pyconv::cpu::PYCONV_CPU_ISA
