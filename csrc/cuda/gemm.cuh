// Implicit matrix product: sums[m][n] = sum over k of A(m, k) B(k, n), where the operands compute their elements'
// addresses as they go. Blocks of 128 threads make tiles of 64x64; 16 of the depth at a time pass through
// registers into one of two halves of shared memory, while the other half is multiplied.
//
// An operand has Outer outer(int64_t m or n), Inner inner(int64_t k), float load(Outer, Inner), which is 0 beyond
// the ends, and kDepthFast: whether neighbours along k, rather than along m or n, lie side by side in memory.
#pragma once

#include "cuda.h"

namespace pyconv::cuda {
namespace {

constexpr int kTileSide = 64, kTileDepth = 16, kGemmThreads = 128;
constexpr int kTileStride = kTileSide + 8;  // floats: the fragments below then meet no bank twice
constexpr int kTileFloats = kTileDepth * kTileStride;
constexpr size_t kGemmSharedBytes = 4 * kTileFloats * sizeof(float);

// A tile on its way from global memory, through a thread's registers, to shared memory [k][m or n].
template <class Operand>
struct TileLoader {
  static constexpr int kLoads = kTileSide * kTileDepth / kGemmThreads;
  static constexpr bool kDepthFast = Operand::kDepthFast;
  static constexpr int kFast = kDepthFast ? kTileDepth : kTileSide, kStep = kGemmThreads / kFast;
  static constexpr int kOuters = kDepthFast ? kLoads : 1, kInners = kDepthFast ? 1 : kLoads;

  typename Operand::Outer outer[kOuters];
  float values[kLoads];

  static PYCONV_DEVICE int fast() { return thread_index() % kFast; }
  static PYCONV_DEVICE int slow(int i) { return thread_index() / kFast + i * kStep; }

  PYCONV_DEVICE TileLoader(const Operand& operand, int64_t first) {
    for (int i = 0; i < kOuters; ++i) outer[i] = operand.outer(first + (kDepthFast ? slow(i) : fast()));
  }
  PYCONV_DEVICE void fetch(const Operand& operand, int64_t k) {
#pragma unroll
    for (int j = 0; j < kInners; ++j) {
      const auto inner = operand.inner(k + (kDepthFast ? fast() : slow(j)));
#pragma unroll
      for (int i = 0; i < kOuters; ++i) values[i + j] = operand.load(outer[i], inner);
    }
  }
  template <class Math>
  PYCONV_DEVICE void put(float* tile) const {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const int k = kDepthFast ? fast() : slow(i), o = kDepthFast ? slow(i) : fast();
      tile[k * kTileStride + o] = Math::round(values[i]);
    }
  }
};

// ---- how a tile is multiplied, by precision

struct Float32Math {
  static constexpr int kRows = 8, kColumns = 4;  // of a thread; 8 x 16 threads
  float sums[kRows][kColumns] = {};

  static PYCONV_DEVICE float round(float v) { return v; }
  static PYCONV_DEVICE int row() { return thread_index() / 16 * kRows; }
  static PYCONV_DEVICE int column() { return thread_index() % 16 * kColumns; }

  PYCONV_DEVICE void multiply(const float* a, const float* b) {
#pragma unroll
    for (int k = 0; k < kTileDepth; ++k) {
      float left[kRows], right[kColumns];
#pragma unroll
      for (int i = 0; i < kRows; ++i) left[i] = a[k * kTileStride + row() + i];
#pragma unroll
      for (int j = 0; j < kColumns; ++j) right[j] = b[k * kTileStride + column() + j];
#pragma unroll
      for (int i = 0; i < kRows; ++i)
#pragma unroll
        for (int j = 0; j < kColumns; ++j) sums[i][j] += left[i] * right[j];
    }
  }
  template <class Body>
  PYCONV_DEVICE void for_each(const Body& body) const {
#pragma unroll
    for (int i = 0; i < kRows; ++i)
#pragma unroll
      for (int j = 0; j < kColumns; ++j) body(row() + i, column() + j, sums[i][j]);
  }
};

// Four warps, 32x32 of the tile each, as 2x4 products of the tensor cores.
struct TensorMath {
  static constexpr int kRows = 2, kColumns = 4;
  float sums[kRows][kColumns][4] = {};

  static PYCONV_DEVICE int row() { return warp_index() / 2 * 32 + lane_index() / 4; }
  static PYCONV_DEVICE int column() { return warp_index() % 2 * 32; }

  template <class Body>
  PYCONV_DEVICE void for_each(const Body& body) const {
#pragma unroll
    for (int i = 0; i < kRows; ++i)
#pragma unroll
      for (int j = 0; j < kColumns; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e)
          body(row() + 16 * i + e / 2 * 8, column() + 8 * j + lane_index() % 4 * 2 + e % 2, sums[i][j][e]);
  }
};

struct Tf32Math : TensorMath {
  static PYCONV_DEVICE float round(float v) { return round_to_tf32(v); }
  PYCONV_DEVICE void multiply(const float* a, const float* b) {
#pragma unroll
    for (int k = 0; k < kTileDepth; k += 8) {
      const float* left = a + (k + lane_index() % 4) * kTileStride + row();
      const float* right = b + (k + lane_index() % 4) * kTileStride + column() + lane_index() / 4;
      uint32_t fragments[kRows][4];
#pragma unroll
      for (int i = 0; i < kRows; ++i)
#pragma unroll
        for (int e = 0; e < 4; ++e)
          fragments[i][e] = float_as_bits(left[e / 2 * 4 * kTileStride + 16 * i + e % 2 * 8]);
#pragma unroll
      for (int j = 0; j < kColumns; ++j) {
        const uint32_t fragment[2] = {float_as_bits(right[8 * j]), float_as_bits(right[4 * kTileStride + 8 * j])};
#pragma unroll
        for (int i = 0; i < kRows; ++i) multiply_tf32(sums[i][j], fragments[i], fragment);
      }
    }
  }
};

struct Bfloat16Math : TensorMath {
  static PYCONV_DEVICE float round(float v) { return v; }  // when packed
  PYCONV_DEVICE void multiply(const float* a, const float* b) {
    const int k = lane_index() % 4 * 2;
    const float* left = a + k * kTileStride + row();
    const float* right = b + k * kTileStride + column() + lane_index() / 4;
    uint32_t fragments[kRows][4];
#pragma unroll
    for (int i = 0; i < kRows; ++i)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const float* p = left + e / 2 * 8 * kTileStride + 16 * i + e % 2 * 8;
        fragments[i][e] = pack_bfloat16(p[0], p[kTileStride]);
      }
#pragma unroll
    for (int j = 0; j < kColumns; ++j) {
      uint32_t fragment[2];
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const float* p = right + e * 8 * kTileStride + 8 * j;
        fragment[e] = pack_bfloat16(p[0], p[kTileStride]);
      }
#pragma unroll
      for (int i = 0; i < kRows; ++i) multiply_bfloat16(sums[i][j], fragments[i], fragment);
    }
  }
};

// Problem: rows, columns, depth, parts (of the depth, each a product of its own), left(group), right(group) and
// store(group, part, m, n, sum). Blocks: row tiles, column tiles, groups x parts.
template <class Math, class Problem>
struct Gemm {
  static constexpr int kThreads = kGemmThreads;
  Problem problem;

  PYCONV_DEVICE void operator()() const {
    const int64_t group = block_index_z() / problem.parts, part = block_index_z() % problem.parts;
    const int64_t m = block_index() * kTileSide, n = block_index_y() * kTileSide;
    const int64_t steps = (problem.depth + kTileDepth - 1) / kTileDepth;
    const int64_t begin = steps * part / problem.parts, end = steps * (part + 1) / problem.parts;

    const auto a = problem.left(group);
    const auto b = problem.right(group);
    TileLoader<typename Problem::Left> left(a, m);
    TileLoader<typename Problem::Right> right(b, n);
    Math math;
    if (begin < end) {
      left.fetch(a, begin * kTileDepth);
      right.fetch(b, begin * kTileDepth);
    }
    for (int64_t step = begin; step < end; ++step) {
      float* tile = shared<float>() + (step - begin) % 2 * 2 * kTileFloats;
      left.template put<Math>(tile);
      right.template put<Math>(tile + kTileFloats);
      barrier();  // the other half is free: all have multiplied it before they came here
      if (step + 1 < end) {
        left.fetch(a, (step + 1) * kTileDepth);
        right.fetch(b, (step + 1) * kTileDepth);
      }
      math.multiply(tile, tile + kTileFloats);
    }
    math.for_each([&](int i, int j, float sum) {
      if (m + i < problem.rows && n + j < problem.columns) problem.store(group, part, m + i, n + j, sum);
    });
  }
};

template <class Problem>
Status multiply(const Context& context, const Problem& problem, int64_t groups) {
  constexpr int64_t kMostBlocks = 65535;  // along y and z
  const Grid grid{ceil_div(problem.rows, kTileSide), ceil_div(problem.columns, kTileSide), groups * problem.parts};
  if (grid.y > kMostBlocks || grid.z > kMostBlocks) return {"the shape asks for more blocks than a grid has"};
  const Precision precision = has_tensor_cores() ? context.precision : Precision::kFloat32;
  if (precision == Precision::kTf32)
    return launch(context, Gemm<Tf32Math, Problem>{problem}, grid, kGemmSharedBytes);
  if (precision == Precision::kBfloat16)
    return launch(context, Gemm<Bfloat16Math, Problem>{problem}, grid, kGemmSharedBytes);
  return launch(context, Gemm<Float32Math, Problem>{problem}, grid, kGemmSharedBytes);
}

}  // namespace
}  // namespace pyconv::cuda
