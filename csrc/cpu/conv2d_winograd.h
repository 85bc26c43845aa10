// What Winograd's passes share: how an image is cut into tiles, and the transform of the input (winograd.h has the
// formulas). A tile's n x n input pixels become n x n values for each channel; value (i, j) of all tiles of a
// block makes a matrix V[plane][tile][channel], and is multiplied by the weights' matrix of the same plane.
#pragma once

#include "../formulas.h"
#include "conv2d_tile.h"
#include "gemm.h"
#include "winograd.h"

namespace pyconv::cpu::PYCONV_CPU_ISA::winograd {
namespace {

// Planes are an odd number of cache lines apart: at a power of two, all planes of a tile would share one set of
// the cache, and push each other out.
PYCONV_INLINE int64_t plane_stride(int64_t floats) {
  return (ceil_div(floats, 16) | 1) * 16;
}

// A pass that correlates a source with 3x3 kernels: forward, or the input gradient with turned kernels.
template <class F>
struct Tiling {
  static constexpr int kPlanes = F::kIn * F::kIn;

  int64_t N, H, W, C;  // source
  int64_t OH, OW, K;   // target
  int64_t pad_top, pad_left;
  int64_t tiles_h, tiles_w, block;  // block: tiles transformed together

  Tiling(const Conv2dShape& s, bool backward) {
    N = s.N;
    H = backward ? s.OH : s.H;
    W = backward ? s.OW : s.W;
    C = backward ? s.C_out : s.C_in;
    OH = backward ? s.H : s.OH;
    OW = backward ? s.W : s.OW;
    K = backward ? s.C_in : s.C_out;
    pad_top = backward ? 2 - s.pad_top : s.pad_top;
    pad_left = backward ? 2 - s.pad_left : s.pad_left;
    tiles_h = ceil_div(OH, F::kOut);
    tiles_w = ceil_div(OW, F::kOut);
    // Measured on Zen 4: what keeps the planes in a 1 MB L2; whole tiles of the products.
    block = round_up(C > 128 ? 16 : 32, kTileRows);
  }
  TargetShape target() const { return {N, OH, OW, K}; }
  int64_t tiles() const { return N * tiles_h * tiles_w; }
  int64_t blocks() const { return ceil_div(tiles(), block); }
  int64_t source_row() const { return round_up(C, kVecFloats); }  // floats of a tile in a plane of V
  int64_t target_row() const { return round_up(K, kTileColumns); }
  int64_t column_blocks() const { return ceil_div(K, kTileColumns); }
  int64_t source_plane() const { return plane_stride(block * source_row()); }
  int64_t column_plane() const { return plane_stride(block * kTileColumns); }  // one column block of the target
  int64_t weight_plane() const { return plane_stride(C * target_row()); }
  // Zeros for a row of a tile, or a whole square: where tiles overhang the image.
  int64_t zeros() const { return F::kIn * source_row(); }
  int64_t square() const { return F::kIn * F::kIn * source_row(); }
};

// Tiles in order, from `tile` on: their image and first pixel. A division only at the start.
template <class F>
struct TileWalk {
  int64_t n, h, w, end_h, end_w;

  PYCONV_INLINE_MEMBER TileWalk(const Tiling<F>& g, int64_t tile)
      : n(tile / (g.tiles_h * g.tiles_w)),
        h(tile / g.tiles_w % g.tiles_h * F::kOut),
        w(tile % g.tiles_w * F::kOut),
        end_h(g.tiles_h * F::kOut),
        end_w(g.tiles_w * F::kOut) {}
  PYCONV_INLINE_MEMBER void next() {
    if ((w += F::kOut) < end_w) return;
    w = 0;
    if ((h += F::kOut) < end_h) return;
    h = 0, ++n;
  }
};

// Fetches a stretch of memory into the L2, a little at each step, while products keep the core busy.
class Prefetch {
 public:
  PYCONV_INLINE_MEMBER Prefetch(const float* begin, const float* end, int64_t steps)
      : at_(reinterpret_cast<const char*>(begin)), end_(reinterpret_cast<const char*>(end)) {
    stride_ = at_ < end_ ? round_up((end_ - at_) / max(1, steps) + 1, 64) : 0;
  }
  PYCONV_INLINE_MEMBER void step() {
    const char* stop = at_ + stride_ < end_ ? at_ + stride_ : end_;
    for (; at_ < stop; at_ += 64) __builtin_prefetch(at_, 0, 2);
  }

 private:
  const char *at_, *end_;
  int64_t stride_;
};

// What the tiles [first, first + count) read of an image tensor whose tiles are `size` pixels high and wide,
// edges apart: pixels in memory order.
template <class F>
PYCONV_INLINE Prefetch prefetch_tiles(const Tiling<F>& g, const float* tensor, int64_t H, int64_t W, int64_t C,
                                      int64_t size, int64_t first, int64_t count, int64_t steps) {
  const int64_t rows = g.tiles_h * g.N, from = min(rows, first / g.tiles_w),
                to = min(rows, ceil_div(first + count, g.tiles_w));
  const auto pixel = [&](int64_t row) { return row / g.tiles_h * H * W + min(H, row % g.tiles_h * size) * W; };
  return tensor ? Prefetch(tensor + pixel(from) * C, tensor + (to < rows ? pixel(to) : g.N * H * W) * C, steps)
                : Prefetch(nullptr, nullptr, steps);
}

// A tile's source square by pointers: its first column, the ones between, its last one; rows and columns outside
// the image point to zeros, and so does the normalisation's shift there.
template <class F>
struct Square {
  const float* x[3][F::kIn];
  const float* shift[3][F::kIn];
};

// Not inlined: a copy in every pass with every epilogue costs a third of the compiler's time, and some speed.
template <class F, bool kNormalized, bool kRelu>
[[gnu::noinline]] void transform_square(const Square<F>& square, int64_t C, int64_t pixel, const float* scale,
                                        float* V, int64_t plane) {
  for (int64_t c = 0; c < C; c += kVecFloats) {
    Vec factor;
    if constexpr (kNormalized) factor = load(scale + c);
    const auto in = [&](int i, int j) PYCONV_LANES_BODY {
      const int part = j == 0 ? 0 : j == F::kIn - 1 ? 2 : 1;
      const int64_t offset = part == 1 ? (j - 1) * pixel + c : c;
      Vec v = load(square.x[part][i] + offset);
      if constexpr (kNormalized) v = factor * v + load(square.shift[part][i] + c);
      if constexpr (kRelu) v = relu(v);
      return v;
    };
    float* out = V + c;
    F::input(in, [&](int i, int j, Vec v) PYCONV_LANES_BODY { store(out + (i * F::kIn + j) * plane, v); });
  }
}

// Scratch of transform_input: a square with its edges filled, for tiles that pointers cannot describe, and zeros.
template <class F>
struct InputScratch {
  const float* zeros;
  float* square;
};

// Tiles [first, first + count) of x, transformed: V[plane][tile][channel].
template <class F>
PYCONV_INLINE void transform_input(const Tiling<F>& g, const float* x, const ScaleShift& normalization,
                                   int64_t first, int64_t count, const InputScratch<F>& scratch, float* V) {
  const int64_t plane = g.source_plane(), row = g.source_row();
  const bool whole = g.C % kVecFloats == 0;
  const float *scale = normalization.scale, *shift = normalization.shift;
  const float low = normalization.relu ? 0 : -__builtin_inff();
  Square<F> square;
  TileWalk<F> at(g, first);
  for (int64_t t = 0; t < count; ++t, at.next()) {
    const int64_t h = at.h - g.pad_top, w = at.w - g.pad_left;
    const float* image = x + at.n * g.H * g.W * g.C;
    float* out = V + t * row;
    if (whole && w >= -1 && w + F::kIn <= g.W + 1) {
      const bool left = w >= 0, right = w + F::kIn <= g.W;
      for (int i = 0; i < F::kIn; ++i) {
        const bool inside = h + i >= 0 && h + i < g.H;
        const float* p = image + ((h + i) * g.W + w) * g.C;
        const float* zeros = scratch.zeros;
        square.x[0][i] = inside && left ? p : zeros;
        square.x[1][i] = inside ? p + g.C : zeros;
        square.x[2][i] = inside && right ? p + (F::kIn - 1) * g.C : zeros;
        square.shift[0][i] = inside && left ? shift : zeros;
        square.shift[1][i] = inside ? shift : zeros;
        square.shift[2][i] = inside && right ? shift : zeros;
      }
      if (!scale)
        transform_square<F, false, false>(square, g.C, g.C, nullptr, out, plane);
      else if (!normalization.relu)
        transform_square<F, true, false>(square, g.C, g.C, scale, out, plane);
      else
        transform_square<F, true, true>(square, g.C, g.C, scale, out, plane);
      continue;
    }
    for (int i = 0; i < F::kIn; ++i) {
      for (int j = 0; j < F::kIn; ++j) {
        const bool inside = h + i >= 0 && h + i < g.H && w + j >= 0 && w + j < g.W;
        const float* p = image + ((h + i) * g.W + w + j) * g.C;
        float* to = scratch.square + (i * F::kIn + j) * row;
        for (int64_t c = 0; c < row; ++c) {
          if (!inside || c >= g.C)
            to[c] = 0;
          else
            to[c] = scale ? scale_shift(p[c], scale[c], shift[c], low) : p[c];
        }
      }
      square.x[0][i] = scratch.square + i * F::kIn * row;
      square.x[1][i] = square.x[0][i] + row;
      square.x[2][i] = square.x[0][i] + (F::kIn - 1) * row;
    }
    transform_square<F, false, false>(square, row, row, nullptr, out, plane);
  }
}

}  // namespace

// ---- conv2d_winograd_weight.cpp: a row's functions. Workspaces are in bytes.
void backward_weight_f2x2(const Context&, const Conv2dShape&, const BackwardWeightPass&);
void backward_weight_f4x4(const Context&, const Conv2dShape&, const BackwardWeightPass&);
size_t weight_workspace_f2x2(const Conv2dShape&);
size_t weight_workspace_f4x4(const Conv2dShape&);

}  // namespace pyconv::cpu::PYCONV_CPU_ISA::winograd
