// What Winograd's passes share: tiles, planes, and the transform of their input. A block of tiles is transformed
// to n x n planes V[plane][tile][channel], which meet their counterparts plane by plane in matrix products.
#pragma once

#include "conv2d.h"
#include "winograd.h"

namespace pyconv::cpu::PYCONV_CPU_ISA::winograd {
namespace {

// Planes are an odd number of cache lines apart: neighbours do not fall into the same cache set.
PYCONV_INLINE int64_t plane_stride(int64_t floats) {
  return (ceil_div(floats, 16) | 1) * 16;
}

// A pass that correlates a source with 3x3 kernels: forward, or the input gradient with turned kernels.
template <class F>
struct Geometry {
  static constexpr int kPlanes = F::kIn * F::kIn;

  int64_t N, H, W, C;  // source
  int64_t OH, OW, K;   // target
  int64_t pad_top, pad_left;
  int64_t tiles_h, tiles_w, block;  // block: tiles transformed together

  Geometry(const Conv2dShape& s, bool backward) {
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
    block = C + K > 160 ? 16 : 32;  // measured on Zen 4: what keeps the planes in a 1 MB L2
  }
  int64_t tiles() const { return N * tiles_h * tiles_w; }
  int64_t blocks() const { return ceil_div(tiles(), block); }
  int64_t source_row() const { return round_up(C, kVecFloats); }  // floats of a tile in a plane of V
  int64_t target_row() const { return round_up(K, kTileColumns); }
  int64_t source_plane() const { return plane_stride(block * source_row()); }
  int64_t target_plane() const { return plane_stride(block * target_row()); }
  int64_t weight_plane() const { return plane_stride(C * target_row()); }
};

struct TilePlace {
  int64_t n, h, w;  // image, and the first output pixel
};
template <class F>
PYCONV_INLINE TilePlace place_of(const Geometry<F>& g, int64_t tile) {
  return {tile / (g.tiles_h * g.tiles_w), tile / g.tiles_w % g.tiles_h * F::kOut, tile % g.tiles_w * F::kOut};
}

PYCONV_INLINE Vec load_lanes(const float* p, int64_t lanes) {
  return lanes == kVecFloats ? load(p) : load_part(p, lanes);
}

// The square at (h, w) of an image (H, W, C), size x size vectors of channels; outside it is 0.
template <int size>
PYCONV_INLINE void load_square(const float* image, int64_t H, int64_t W, int64_t C, int64_t h, int64_t w,
                               int64_t lanes, Vec (&square)[size][size]) {
  const float* p = image + (h * W + w) * C;
  if (h >= 0 && w >= 0 && h + size <= H && w + size <= W && lanes == kVecFloats) {
    PYCONV_UNROLL
    for (int i = 0; i < size; ++i) {
      PYCONV_UNROLL
      for (int j = 0; j < size; ++j) square[i][j] = load(p + (i * W + j) * C);
    }
    return;
  }
  for (int i = 0; i < size; ++i) {
    for (int j = 0; j < size; ++j) {
      const bool inside = h + i >= 0 && h + i < H && w + j >= 0 && w + j < W;
      square[i][j] = inside ? load_lanes(p + (i * W + j) * C, lanes) : Vec{};
    }
  }
}

// Tiles [first, first + count) of x, transformed: V[plane][tile][channel].
template <class F>
PYCONV_INLINE void transform_input(const Geometry<F>& g, const float* x, int64_t first, int64_t count, float* V) {
  const int64_t plane = g.source_plane(), row = g.source_row();
  for (int64_t t = 0; t < count; ++t) {
    const TilePlace at = place_of(g, first + t);
    const float* image = x + at.n * g.H * g.W * g.C;
    for (int64_t c = 0; c < g.C; c += kVecFloats) {
      Vec d[F::kIn][F::kIn];
      load_square<F::kIn>(image + c, g.H, g.W, g.C, at.h - g.pad_top, at.w - g.pad_left, min(kVecFloats, g.C - c),
                          d);
      PYCONV_UNROLL
      for (int j = 0; j < F::kIn; ++j) {
        Vec column[F::kIn];
        PYCONV_UNROLL
        for (int i = 0; i < F::kIn; ++i) column[i] = d[i][j];
        F::input(column);
        PYCONV_UNROLL
        for (int i = 0; i < F::kIn; ++i) d[i][j] = column[i];
      }
      float* out = V + t * row + c;
      PYCONV_UNROLL
      for (int i = 0; i < F::kIn; ++i) {
        F::input(d[i]);
        PYCONV_UNROLL
        for (int j = 0; j < F::kIn; ++j) store(out + (i * F::kIn + j) * plane, d[i][j]);
      }
    }
  }
}

}  // namespace

// Of backward_weight's workspace.
size_t weight_gradient_floats(const Conv2dShape&, int out);

}  // namespace pyconv::cpu::PYCONV_CPU_ISA::winograd
