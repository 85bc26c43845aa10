// The products that convolutions and dense layers are made of: a few rows by a few columns, whose sums stay in
// registers (add_products) until they are whole.
//
//   multiply          y[r] (+)= bias + sum over taps t, k of a[t][r][k] * b[t][k]    rows r, columns in vectors
//   multiply_strided  the same of rows, taps and results that lie evenly apart
//   outer             c[r] += sum over pixels p of a[p][r] * b[p]
//
// The rows of `multiply` are given by pointers, so that it serves a matrix, an im2col block and a convolution
// whose rows are pixels scattered over an image (Dukhan, "The Indirect Convolution Algorithm", 2019).
#pragma once

#include "cpu.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {
namespace {

// Accumulators fill the registers: 8 x 2 of 32 (measured best on Zen 4), 6 x 2 and 4 x 2 of 16.
constexpr int kTileRows = kVecRegisters == 32 ? 8 : kVecBytes == 32 ? 6 : 4;
constexpr int kTileVecs = 2;
constexpr int kTileColumns = kTileVecs * kVecFloats;
constexpr int kMaxTaps = 64;

// What a band of column blocks may take of the L2, 256 KB: packed weights, or sums.
constexpr int64_t kBandFloats = 1 << 16;

// What one call of `multiply` works on. Columns beyond `columns` are computed and not stored.
struct RegisterTile {
  const float* a[kMaxTaps][kTileRows];
  const float* b[kMaxTaps];  // (K, kTileColumns) packed
  int taps;
  int64_t K;
  const float* bias;  // null: 0
  bool accumulate;    // start from y instead of bias
  float* y[kTileRows];
  int64_t columns;
};

// sum[r][v] += sum over k in [0, K) of a(r, k) * b[k][v], sums in registers: the loop that all products are made
// of. b is (K, kTileColumns) packed.
template <int R, int V, class A>
PYCONV_INLINE void add_products(Vec (&sum)[R][V], int64_t K, const float* b, const A& a) {
  for (int64_t k = 0; k < K; ++k, b += kTileColumns) {
    Vec row[V];
    PYCONV_UNROLL
    for (int v = 0; v < V; ++v) row[v] = load(b + v * kVecFloats);
    PYCONV_UNROLL
    for (int r = 0; r < R; ++r) {
      const Vec value = broadcast(a(r, k));
      PYCONV_UNROLL
      for (int v = 0; v < V; ++v) sum[r][v] += value * row[v];
    }
  }
}

template <int R, int V>
void multiply(const RegisterTile& tile, int64_t b_shift, int64_t column) {
  const int64_t columns = min(tile.columns - column, V * kVecFloats);
  const int64_t tail = columns - (V - 1) * kVecFloats;  // lanes of the last vector, 1 to kVecFloats
  Vec sum[R][V];
  PYCONV_UNROLL
  for (int r = 0; r < R; ++r) {
    const float* start = tile.accumulate ? tile.y[r] + column : tile.bias ? tile.bias + column : nullptr;
    PYCONV_UNROLL
    for (int v = 0; v < V; ++v) {
      if (!start)
        sum[r][v] = Vec{};
      else if (v < V - 1 || tail == kVecFloats)
        sum[r][v] = load(start + v * kVecFloats);
      else
        sum[r][v] = load_part(start + v * kVecFloats, tail);
    }
  }
  for (int t = 0; t < tile.taps; ++t) {
    const float* a[R];
    PYCONV_UNROLL
    for (int r = 0; r < R; ++r) a[r] = tile.a[t][r];
    add_products(sum, tile.K, tile.b[t] + b_shift, [&](int r, int64_t k) PYCONV_LANES_BODY { return a[r][k]; });
  }
  PYCONV_UNROLL
  for (int r = 0; r < R; ++r) {
    float* y = tile.y[r] + column;
    PYCONV_UNROLL
    for (int v = 0; v < V; ++v) {
      if (v < V - 1 || tail == kVecFloats)
        store(y + v * kVecFloats, sum[r][v]);
      else
        store_part(y + v * kVecFloats, sum[r][v], tail);
    }
  }
}

// y[r] = sum over t in [0, taps), k in [0, K) of a[r][t][k] * b[t][k], whole vectors, for rows that lie `a_row`
// floats apart, taps `a_tap` and results `y_row`.
template <int R>
void multiply_strided(const float* a, int64_t a_row, int64_t taps, int64_t a_tap, int64_t K, const float* b,
                      float* y, int64_t y_row) {
  Vec sum[R][kTileVecs] = {};
  for (int64_t t = 0; t < taps; ++t, a += a_tap, b += K * kTileColumns)
    add_products(sum, K, b, [&](int r, int64_t k) PYCONV_LANES_BODY { return a[r * a_row + k]; });
  PYCONV_UNROLL
  for (int r = 0; r < R; ++r) {
    PYCONV_UNROLL
    for (int v = 0; v < kTileVecs; ++v) store(y + r * y_row + v * kVecFloats, sum[r][v]);
  }
}
template <int R = kTileRows, class... Arguments>
PYCONV_INLINE void multiply_strided_rows(int64_t rows, const Arguments&... arguments) {
  if constexpr (R > 1)
    if (rows < R) return multiply_strided_rows<R - 1>(rows, arguments...);
  multiply_strided<R>(arguments...);
}

// A run of `count` pixels: a advances by a_step from `a`, b by kTileColumns from row `row`.
struct Segment {
  const float* a;
  int64_t row, count;
};

struct Segments {
  const Segment* list;
  int64_t count, a_step;
  const float* b;  // (pixels, kTileColumns) packed
  bool accumulate = true;
};

template <int R, int V>
void outer(const Segments& segments, int64_t first_row, float* c) {
  Vec sum[R][V] = {};
  const bool accumulate = segments.accumulate;
  for (int64_t s = 0; s < segments.count; ++s) {
    const Segment& segment = segments.list[s];
    const float* a = segment.a + first_row;
    add_products(sum, segment.count, segments.b + segment.row * kTileColumns,
                 [&](int r, int64_t p) PYCONV_LANES_BODY { return a[p * segments.a_step + r]; });
  }
  PYCONV_UNROLL
  for (int r = 0; r < R; ++r) {
    PYCONV_UNROLL
    for (int v = 0; v < V; ++v) {
      float* target = c + r * kTileColumns + v * kVecFloats;
      store(target, accumulate ? load(target) + sum[r][v] : sum[r][v]);
    }
  }
}

// The instance for a number of rows known only at run time.
template <int V, int R = kTileRows>
PYCONV_INLINE void multiply_rows(int64_t rows, const RegisterTile& tile, int64_t b_shift, int64_t column) {
  if constexpr (R > 1)
    if (rows < R) return multiply_rows<V, R - 1>(rows, tile, b_shift, column);
  multiply<R, V>(tile, b_shift, column);
}

template <int V, int R = kTileRows>
PYCONV_INLINE void outer_rows(int64_t rows, const Segments& segments, int64_t first_row, float* c) {
  if constexpr (R > 1)
    if (rows < R) return outer_rows<V, R - 1>(rows, segments, first_row, c);
  outer<R, V>(segments, first_row, c);
}

// Column blocks [first, last) of a tile; block i of b lies i * b_block floats further.
PYCONV_INLINE void multiply_blocks(int64_t rows, const RegisterTile& tile, int64_t b_block, int64_t first,
                                   int64_t last) {
  for (int64_t block = first; block < last; ++block) {
    const int64_t column = block * kTileColumns;
    if (tile.columns - column > kVecFloats)
      multiply_rows<2>(rows, tile, block * b_block, column);
    else
      multiply_rows<1>(rows, tile, block * b_block, column);
  }
}

// c (rows, kTileColumns) += outer products, in nearly equal blocks of at most kTileRows rows; `before()` each.
template <class Before>
PYCONV_INLINE void outer_blocks(int64_t rows, int64_t columns, const Segments& segments, float* c,
                                const Before& before) {
  const int64_t blocks = ceil_div(rows, kTileRows);
  for (int64_t i = 0; i < blocks; ++i) {
    before();
    const Range r = chunk_range(rows, blocks, i);
    if (columns > kVecFloats)
      outer_rows<2>(r.end - r.begin, segments, r.begin, c + r.begin * kTileColumns);
    else
      outer_rows<1>(r.end - r.begin, segments, r.begin, c + r.begin * kTileColumns);
  }
}

PYCONV_INLINE void outer_blocks(int64_t rows, int64_t columns, const Segments& segments, float* c) {
  outer_blocks(rows, columns, segments, c, [] {});
}

}  // namespace
}  // namespace pyconv::cpu::PYCONV_CPU_ISA
