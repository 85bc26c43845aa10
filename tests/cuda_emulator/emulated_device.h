// The intrinsics of csrc/cuda/device.cuh on the CPU: the threads of a block are fibers, which run until a barrier
// or an exchange within the warp makes them wait for others.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>

#define PYCONV_DEVICE inline

namespace emulator {

using pyconv::cuda::Grid;

// Runs all blocks of a grid, one after the other.
cudaError_t run_grid(Grid grid, int threads, size_t shared_bytes, const char* kernel,
                     const std::function<void()>& body);

// Of the running thread.
int thread_index();
const Grid& block();
const Grid& grid();
void* shared_memory();
void barrier();
// Calls meet(lane's data of all 32 lanes) once, when all lanes of the warp have come here with theirs.
void exchange(void* mine, void (*meet)(void* const (&lanes)[32]));

// Ends the process where an access would be refused by a GPU.
void expect_aligned(const void* address, size_t bytes);

void async_copy_16(void* to, const void* from, bool valid);
void async_copy_commit();
void async_copy_wait(int groups);

}  // namespace emulator

namespace pyconv::cuda {
namespace {

inline int thread_index() {
  return emulator::thread_index();
}
inline int64_t block_index() {
  return emulator::block().x;
}
inline int64_t block_index_y() {
  return emulator::block().y;
}
inline int64_t block_index_z() {
  return emulator::block().z;
}
inline int64_t block_count() {
  return emulator::grid().x;
}
inline void* shared_memory() {
  return emulator::shared_memory();
}
inline void barrier() {
  emulator::barrier();
}

template <class T>
struct Shuffled {
  T value, result;
  int mask;
};
template <class T>
T shuffle_xor(T value, int mask) {
  Shuffled<T> mine{value, {}, mask};
  emulator::exchange(&mine, [](void* const(&lanes)[32]) {
    for (int lane = 0; lane < 32; ++lane) {
      auto* to = static_cast<Shuffled<T>*>(lanes[lane]);
      to->result = static_cast<Shuffled<T>*>(lanes[lane ^ to->mask])->value;
    }
  });
  return mine.result;
}

inline void expect_aligned(const void* address, size_t bytes) {
  emulator::expect_aligned(address, bytes);
}
inline float bits_as_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}
inline uint32_t float_as_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}
inline float round_to_tf32(float value) {
  const uint32_t bits = float_as_bits(value);
  if ((bits & 0x7f800000u) == 0x7f800000u) return value;  // infinite, or NaN
  return bits_as_float((bits + 0x1000u) & ~0x1fffu);
}
inline uint32_t round_to_bfloat16(float value) {
  const uint32_t bits = float_as_bits(value);
  if (value != value) return bits >> 16 | 0x40u;
  return (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}
inline uint32_t pack_bfloat16(float low, float high) {
  return round_to_bfloat16(high) << 16 | round_to_bfloat16(low);
}

// The fragments of mma.m16n8k8 (tf32) and mma.m16n8k16 (bfloat16), PTX ISA, section on warp-level matrix
// fragments.
struct Product {
  float a[8], b[4], *sum;  // in order of the fragments' elements
};
template <int kDepth>
void multiply_fragments(void* const (&lanes)[32]) {
  float a[16][kDepth], b[kDepth][8];
  constexpr int kPack = kDepth / 8;  // elements of a register
  for (int lane = 0; lane < 32; ++lane) {
    const auto& p = *static_cast<const Product*>(lanes[lane]);
    const int group = lane / 4, in_group = lane % 4;
    for (int e = 0; e < 4 * kPack; ++e) {
      const int reg = e / kPack, k = in_group * kPack + e % kPack + reg / 2 * 4 * kPack;
      a[group + reg % 2 * 8][k] = p.a[e];
    }
    for (int e = 0; e < 2 * kPack; ++e) b[in_group * kPack + e % kPack + e / kPack * 4 * kPack][group] = p.b[e];
  }
  for (int lane = 0; lane < 32; ++lane) {
    float* sum = static_cast<const Product*>(lanes[lane])->sum;
    for (int e = 0; e < 4; ++e) {
      const int row = lane / 4 + e / 2 * 8, column = lane % 4 * 2 + e % 2;
      for (int k = 0; k < kDepth; ++k) sum[e] += a[row][k] * b[k][column];
    }
  }
}
inline void multiply_tf32(float (&sum)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  Product mine{{}, {}, sum};
  // The tensor cores look at the upper 19 bits alone: a number that was not rounded is cut.
  for (int i = 0; i < 4; ++i) mine.a[i] = bits_as_float(a[i] & ~0x1fffu);
  for (int i = 0; i < 2; ++i) mine.b[i] = bits_as_float(b[i] & ~0x1fffu);
  emulator::exchange(&mine, multiply_fragments<8>);
}
inline void multiply_bfloat16(float (&sum)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  Product mine{{}, {}, sum};
  for (int i = 0; i < 8; ++i) mine.a[i] = bits_as_float(i % 2 ? a[i / 2] & 0xffff0000u : a[i / 2] << 16);
  for (int i = 0; i < 4; ++i) mine.b[i] = bits_as_float(i % 2 ? b[i / 2] & 0xffff0000u : b[i / 2] << 16);
  emulator::exchange(&mine, multiply_fragments<16>);
}

struct Matrices {
  const void* row;
  uint32_t* matrices;
};
inline void load_matrices(uint32_t (&matrices)[4], const void* row) {
  Matrices mine{row, matrices};
  emulator::exchange(&mine, [](void* const(&lanes)[32]) {
    for (int lane = 0; lane < 32; ++lane)
      for (int i = 0; i < 4; ++i) {
        const auto* from = static_cast<const Matrices*>(lanes[8 * i + lane / 4])->row;
        emulator::expect_aligned(from, 16);
        std::memcpy(&static_cast<Matrices*>(lanes[lane])->matrices[i],
                    static_cast<const char*>(from) + lane % 4 * 4, 4);
      }
  });
}
inline void load_matrices_turned(uint32_t (&matrices)[4], const void* row) {
  Matrices mine{row, matrices};
  emulator::exchange(&mine, [](void* const(&lanes)[32]) {
    for (int lane = 0; lane < 32; ++lane)
      for (int i = 0; i < 4; ++i) {
        uint16_t pair[2];
        for (int e = 0; e < 2; ++e) {
          const auto* from = static_cast<const Matrices*>(lanes[8 * i + lane % 4 * 2 + e])->row;
          emulator::expect_aligned(from, 16);
          std::memcpy(&pair[e], static_cast<const char*>(from) + lane / 4 * 2, 2);
        }
        static_cast<Matrices*>(lanes[lane])->matrices[i] = uint32_t{pair[1]} << 16 | pair[0];
      }
  });
}

inline void async_copy_16(void* to, const void* from, bool valid) {
  emulator::async_copy_16(to, from, valid);
}
inline void async_copy_commit() {
  emulator::async_copy_commit();
}
template <int kGroups>
void async_copy_wait() {
  emulator::async_copy_wait(kGroups);
}

template <class Kernel>
cudaError_t enqueue(const Kernel& kernel, Grid grid, size_t shared_bytes, cudaStream_t stream) {
  constexpr int64_t kMost = 65535;  // blocks along y and z
  if (shared_bytes > kMostSharedBytes || grid.x > INT32_MAX || grid.y > kMost || grid.z > kMost)
    return cudaErrorInvalidValue;
  return emulator::enqueue(stream, [=] {
    return emulator::run_grid(grid, Kernel::kThreads, shared_bytes, __PRETTY_FUNCTION__, [&] { kernel(); });
  });
}

}  // namespace
}  // namespace pyconv::cuda
