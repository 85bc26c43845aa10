// What a thread of a GPU can do, as plain functions: which thread it is, memory that its block shares, barriers,
// values exchanged within its warp of 32, products on the tensor cores, copies that run in the background. Kernels
// use these and nothing of CUDA's own, and so the emulator of the tests can run the same kernels on a CPU: it
// gives the same functions another body (tests/cuda_emulator/emulated_device.h).
//
// A kernel is a struct: its members are the arguments, kThreads says how many threads a block has, and every
// thread of every block runs operator()(). runtime.h launches it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace pyconv::cuda {

// Blocks of a launch.
struct Grid {
  int64_t x, y = 1, z = 1;
};

// Of a block's shared memory, on every GPU with tensor cores for tf32.
constexpr size_t kMostSharedBytes = 99 << 10;

}  // namespace pyconv::cuda

#ifdef PYCONV_EMULATED
#include <emulated_device.h>
#else
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#define PYCONV_DEVICE __device__ __forceinline__

namespace pyconv::cuda {
namespace {

PYCONV_DEVICE int thread_index() {
  return static_cast<int>(threadIdx.x);
}
PYCONV_DEVICE int64_t block_index() {
  return blockIdx.x;
}
PYCONV_DEVICE int64_t block_index_y() {
  return blockIdx.y;
}
PYCONV_DEVICE int64_t block_index_z() {
  return blockIdx.z;
}
PYCONV_DEVICE int64_t block_count() {
  return gridDim.x;
}

// Memory that a block shares: all of it is dynamic, its size is the launch's.
extern __shared__ __align__(128) unsigned char dynamic_shared_memory[];
PYCONV_DEVICE void* shared_memory() {
  return dynamic_shared_memory;
}
PYCONV_DEVICE void barrier() {
  __syncthreads();
}

// The value of the lane whose number differs by `mask`; all lanes of the warp take part.
template <class T>
PYCONV_DEVICE T shuffle_xor(T value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}

PYCONV_DEVICE void expect_aligned(const void*, size_t) {}  // the emulator looks
PYCONV_DEVICE float bits_as_float(uint32_t bits) {
  return __uint_as_float(bits);
}
PYCONV_DEVICE uint32_t float_as_bits(float value) {
  return __float_as_uint(value);
}

// What needs compute capability 8.0 does nothing below: has_tensor_cores() keeps such kernels from older GPUs.

// To the nearest number of tf32's 10 bits of mantissa, ties away from zero; NaN stays NaN.
PYCONV_DEVICE float round_to_tf32(float value) {
#if __CUDA_ARCH__ >= 800
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
  return __uint_as_float(bits);
#else
  return value;
#endif
}
// Two bfloat16 (nearest, ties to even), the first in the low half.
PYCONV_DEVICE uint32_t pack_bfloat16(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  uint32_t bits;
  memcpy(&bits, &pair, sizeof(bits));
  return bits;
}

// sum += a b on the tensor cores: a 16x8 (row), b 8x8 (column), bits of tf32; the fragments of PTX' mma.m16n8k8.
PYCONV_DEVICE void multiply_tf32(float (&sum)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}
// The same in bfloat16: a 16x16, b 16x8, mma.m16n8k16.
PYCONV_DEVICE void multiply_bfloat16(float (&sum)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// Four matrices of 8 rows of 16 bytes from shared memory: lane 8 i + r names row r of matrix i, and gets word lane
// % 4 of row lane / 4 of each matrix.
PYCONV_DEVICE void load_matrices(uint32_t (&matrices)[4], const void* row) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]), "=r"(matrices[3])
               : "r"(address)
               : "memory");
}
// The same of 16-bit numbers, each matrix turned: a lane gets rows 2 (lane % 4) and the next of column lane / 4.
PYCONV_DEVICE void load_matrices_turned(uint32_t (&matrices)[4], const void* row) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]), "=r"(matrices[3])
               : "r"(address)
               : "memory");
}

// Copies 16 bytes, or zeros where not `valid`, from global to shared memory: done when this thread has waited for
// the group of copies that holds it, and seen by others after a barrier.
PYCONV_DEVICE void async_copy_16(void* to, const void* from, bool valid) {
#if __CUDA_ARCH__ >= 800
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(valid ? 16 : 0)
               : "memory");
#else
  *static_cast<uint4*>(to) = valid ? *static_cast<const uint4*>(from) : uint4{};
#endif
}
// Closes the group of the copies since the last one.
PYCONV_DEVICE void async_copy_commit() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
// Waits until at most kGroups of the youngest groups are on their way.
template <int kGroups>
PYCONV_DEVICE void async_copy_wait() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
#endif
}

}  // namespace
}  // namespace pyconv::cuda
#endif

namespace pyconv::cuda {
namespace {

constexpr int kWarp = 32;

PYCONV_DEVICE int lane_index() {
  return thread_index() % kWarp;
}
PYCONV_DEVICE int warp_index() {
  return thread_index() / kWarp;
}

template <class T>
PYCONV_DEVICE T* shared() {
  return static_cast<T*>(shared_memory());
}

// What lies side by side and is read or written at once; its address is a multiple of its size.
template <int n, class T = float>
struct alignas(n * sizeof(T)) Pack {
  T v[n];
};
template <int n, class T>
PYCONV_DEVICE Pack<n, T> load(const T* from) {
  expect_aligned(from, sizeof(Pack<n, T>));
  return *reinterpret_cast<const Pack<n, T>*>(from);
}
template <int n, class T>
PYCONV_DEVICE void store(T* to, const Pack<n, T>& pack) {
  expect_aligned(to, sizeof(Pack<n, T>));
  *reinterpret_cast<Pack<n, T>*>(to) = pack;
}

template <class T>
PYCONV_DEVICE T minimum(T a, T b) {
  return b < a ? b : a;
}
template <class T>
PYCONV_DEVICE T maximum(T a, T b) {
  return a < b ? b : a;
}

PYCONV_DEVICE bool is_finite(double value) {
  return value - value == 0;
}

// The sum over a warp, the same in every lane and in a fixed order.
template <class T>
PYCONV_DEVICE T warp_sum(T value) {
  for (int mask = kWarp / 2; mask; mask /= 2) value += shuffle_xor(value, mask);
  return value;
}

// The sum over a block of kThreads, in every thread. Shared memory: kThreads / 32 values.
template <int kThreads, class T>
PYCONV_DEVICE T block_sum(T value) {
  T* sums = shared<T>();
  value = warp_sum(value);
  barrier();
  if (lane_index() == 0) sums[warp_index()] = value;
  barrier();
  T total = sums[0];
  for (int i = 1; i < kThreads / kWarp; ++i) total += sums[i];
  return total;
}

// A block's threads are kRows rows of kColumns: each one's value joined over the rows, in order; of use in the
// first row. Shared memory: a value of each thread.
template <int kColumns, int kRows, class T, class Join>
PYCONV_DEVICE T join_rows(const T& mine, const Join& join) {
  T* values = shared<T>();
  barrier();
  values[thread_index()] = mine;
  barrier();
  T joined = mine;
  for (int row = 1; row < kRows && thread_index() < kColumns; ++row)
    join(joined, values[row * kColumns + thread_index()]);
  return joined;
}

}  // namespace
}  // namespace pyconv::cuda
