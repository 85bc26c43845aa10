// 3x3 convolution of stride 1 by Winograd's minimal filtering, forward and input gradient. A chunk owns a block
// of tiles: it transforms them, multiplies each plane by that plane of the transformed weights, and transforms
// the products back.
#include "conv2d_winograd.h"

namespace pyconv::cpu::PYCONV_CPU_ISA::winograd {
namespace {

// M[plane][tile][channel] to y, plus bias; pixels beyond the image are dropped.
template <class F>
PYCONV_INLINE void transform_output(const Geometry<F>& g, const float* M, const float* bias, int64_t first,
                                    int64_t count, float* y) {
  const int64_t plane = g.target_plane(), row = g.target_row();
  for (int64_t t = 0; t < count; ++t) {
    const TilePlace at = place_of(g, first + t);
    float* out = y + ((at.n * g.OH + at.h) * g.OW + at.w) * g.K;
    const int64_t rows = min(F::kOut, g.OH - at.h), columns = min(F::kOut, g.OW - at.w);
    for (int64_t c = 0; c < g.K; c += kVecFloats) {
      const int64_t lanes = min(kVecFloats, g.K - c);
      const float* in = M + t * row + c;
      Vec half[F::kOut][F::kIn], square[F::kOut][F::kOut];
      PYCONV_UNROLL
      for (int j = 0; j < F::kIn; ++j) {
        Vec column[F::kIn], short_column[F::kOut];
        PYCONV_UNROLL
        for (int i = 0; i < F::kIn; ++i) column[i] = load(in + (i * F::kIn + j) * plane);
        F::output(column, short_column);
        PYCONV_UNROLL
        for (int i = 0; i < F::kOut; ++i) half[i][j] = short_column[i];
      }
      const Vec offset = bias ? load_lanes(bias + c, lanes) : Vec{};
      PYCONV_UNROLL
      for (int i = 0; i < F::kOut; ++i) {
        F::output(half[i], square[i]);
        PYCONV_UNROLL
        for (int j = 0; j < F::kOut; ++j) square[i][j] += offset;
      }
      if (rows == F::kOut && columns == F::kOut && lanes == kVecFloats) {
        PYCONV_UNROLL
        for (int i = 0; i < F::kOut; ++i) {
          PYCONV_UNROLL
          for (int j = 0; j < F::kOut; ++j) store(out + (i * g.OW + j) * g.K + c, square[i][j]);
        }
        continue;
      }
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < columns; ++j) store_part(out + (i * g.OW + j) * g.K + c, square[i][j], lanes);
    }
  }
}

// U[plane][column block][source channel][column]. `backward`: kernels turned by 180 degrees, channels swapped.
template <class F>
PYCONV_INLINE void transform_weight(const Geometry<F>& g, const Conv2dShape& s, const float* weight, bool backward,
                                    float* U) {
  const int64_t column_vecs = g.target_row() / kVecFloats;
  parallel(g.C, [&](int64_t k) {
    for (int64_t v = 0; v < column_vecs; ++v) {
      const int64_t c = v * kVecFloats, lanes = max(0, min(kVecFloats, g.K - c));
      Vec w[3][3], half[F::kIn][3];
      for (int i = 0; i < 3; ++i) {
        for (int j = 0; j < 3; ++j) {
          if (!backward) {
            w[i][j] = load_lanes(weight + ((i * 3 + j) * s.C_in + k) * s.C_out + c, lanes);
            continue;
          }
          w[i][j] = Vec{};
          const float* turned = weight + (8 - (i * 3 + j)) * s.C_in * s.C_out + k;
          for (int64_t lane = 0; lane < lanes; ++lane) w[i][j][lane] = turned[(c + lane) * s.C_out];
        }
      }
      for (int j = 0; j < 3; ++j) {
        const Vec column[3] = {w[0][j], w[1][j], w[2][j]};
        Vec long_column[F::kIn];
        F::weight(column, long_column);
        for (int i = 0; i < F::kIn; ++i) half[i][j] = long_column[i];
      }
      float* out = U + (c / kTileColumns * g.C + k) * kTileColumns + c % kTileColumns;
      for (int i = 0; i < F::kIn; ++i) {
        Vec row[F::kIn];
        F::weight(half[i], row);
        for (int j = 0; j < F::kIn; ++j) store(out + (i * F::kIn + j) * g.weight_plane(), row[j]);
      }
    }
  });
}

template <class F>
Status correlate(const Context& context, const Conv2dShape& s, bool backward, const float* source,
                 const float* weight, const float* bias, float* target) {
  const Geometry<F> g(s, backward);
  float* U = static_cast<float*>(context.workspace);
  transform_weight(g, s, weight, backward, U);
  parallel(g.blocks(), [&](int64_t chunk) {
    const int64_t first = chunk * g.block, count = min(g.block, g.tiles() - first);
    const int64_t V_floats = g.kPlanes * g.source_plane(), M_floats = g.kPlanes * g.target_plane();
    float* V = static_cast<float*>(thread_scratch(static_cast<size_t>(V_floats + M_floats) * sizeof(float)));
    float* M = V + V_floats;
    transform_input(g, source, first, count, V);
    Tile tile;
    tile.taps = 1;
    tile.K = g.C;
    tile.bias = nullptr;
    tile.accumulate = false;
    tile.columns = round_up(g.K, kVecFloats);
    for (int plane = 0; plane < g.kPlanes; ++plane) {
      tile.b[0] = U + plane * g.weight_plane();
      for (int64_t t = 0; t < count; t += kTileRows) {
        const int64_t rows = min(kTileRows, count - t);
        for (int64_t r = 0; r < rows; ++r) {
          tile.a[0][r] = V + plane * g.source_plane() + (t + r) * g.source_row();
          tile.y[r] = M + plane * g.target_plane() + (t + r) * g.target_row();
        }
        multiply_blocks(rows, tile, g.C * kTileColumns, 0, g.target_row() / kTileColumns);
      }
    }
    transform_output(g, M, bias, first, count, target);
  });
  return kOk;
}

template <class F>
size_t weight_floats(const Conv2dShape& s, bool backward) {
  const Geometry<F> g(s, backward);
  return static_cast<size_t>(g.kPlanes * g.weight_plane());
}

}  // namespace

bool fits(const Conv2dShape& s) {
  return s.KH == 3 && s.KW == 3 && s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1 && s.dilation_w == 1 &&
         s.groups == 1 && max(max(s.pad_top, s.pad_bottom), max(s.pad_left, s.pad_right)) <= 2;
}

Status forward(const Context& context, const Conv2dShape& s, int out, const float* x, const float* weight,
               const float* bias, float* y) {
  return out == 4 ? correlate<WinogradF4>(context, s, false, x, weight, bias, y)
                  : correlate<WinogradF2>(context, s, false, x, weight, bias, y);
}

Status backward_input(const Context& context, const Conv2dShape& s, int out, const float* dy, const float* weight,
                      float* dx) {
  return out == 4 ? correlate<WinogradF4>(context, s, true, dy, weight, nullptr, dx)
                  : correlate<WinogradF2>(context, s, true, dy, weight, nullptr, dx);
}

size_t workspace(const Conv2dShape& s, int out, Conv2dPass pass) {
  const bool backward = pass == Conv2dPass::kBackwardInput;
  const size_t floats = pass == Conv2dPass::kBackwardWeight ? weight_gradient_floats(s, out)
                        : out == 4                          ? weight_floats<WinogradF4>(s, backward)
                                                            : weight_floats<WinogradF2>(s, backward);
  return floats * sizeof(float);
}

}  // namespace pyconv::cpu::PYCONV_CPU_ISA::winograd
