// Launches of kernels, whole or element by element. This and runtime.cu (memory, streams, graphs) are the only
// files that know the CUDA runtime.
#pragma once

#include "../kernels.h"
#include "../portable.h"
#include "device.cuh"

namespace pyconv::cuda {

// Whether the GPU multiplies tf32 and bfloat16 matrices: from compute capability 8.0 on.
bool has_tensor_cores();

namespace {

template <class A, class B>
PYCONV_PORTABLE constexpr auto ceil_div(A a, B b) {
  return (a + b - 1) / b;
}

// Whether an array (null: any) is made of vectors of 16 bytes.
inline bool is_aligned(const void* array) {
  return reinterpret_cast<uintptr_t>(array) % 16 == 0;
}

#ifndef PYCONV_EMULATED
// How many blocks a multiprocessor should hold at once, where a kernel says so: it bounds the registers.
template <class Kernel>
constexpr int blocks_at_once() {
  if constexpr (requires { Kernel::kBlocksAtOnce; }) return Kernel::kBlocksAtOnce;
  return 0;
}

template <class Kernel>
__global__ void __launch_bounds__(Kernel::kThreads, blocks_at_once<Kernel>()) run(const Kernel kernel) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
  // Never launched here (has_tensor_cores): no code either.
  if constexpr (requires { typename Kernel::NeedsTensorCores; }) return;
#endif
  kernel();
}

template <class Kernel>
cudaError_t enqueue(const Kernel& kernel, Grid grid, size_t shared_bytes, cudaStream_t stream) {
  constexpr size_t kGranted =
      48 << 10;  // more has to be asked for: once, as other threads and graphs launch it too
  if (shared_bytes > kGranted) {
    static const cudaError_t error = cudaFuncSetAttribute(run<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                          static_cast<int>(kMostSharedBytes));
    if (error != cudaSuccess) return error;
  }
  const dim3 blocks(static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y), static_cast<unsigned>(grid.z));
  run<Kernel><<<blocks, Kernel::kThreads, shared_bytes, stream>>>(kernel);
  return cudaGetLastError();
}
#endif

// A failure is taken off the thread's record: the next launch shall not report it again.
inline Status status_of(cudaError_t error) {
  if (error == cudaSuccess) return kOk;
  cudaGetLastError();
  return {cudaGetErrorString(error)};
}

// Enqueues a kernel; an empty grid is done at once.
template <class Kernel>
Status launch(const Context& context, const Kernel& kernel, Grid grid, size_t shared_bytes = 0) {
  if (grid.x <= 0 || grid.y <= 0 || grid.z <= 0) return kOk;
  return status_of(enqueue(kernel, grid, shared_bytes, static_cast<cudaStream_t>(context.stream)));
}

// Calls body(i) for the elements i of [0, size).
template <class Body>
struct ForEach {
  static constexpr int kThreads = 256;
  Body body;
  int64_t size;
  PYCONV_DEVICE void operator()() const {
    for (int64_t i = block_index() * kThreads + thread_index(); i < size; i += block_count() * kThreads) body(i);
  }
};

template <class Body>
Status for_each(const Context& context, int64_t size, const Body& body) {
  constexpr int64_t kMostBlocks = 4096;  // then a thread takes several elements
  const int64_t blocks = ceil_div(size, ForEach<Body>::kThreads);
  return launch(context, ForEach<Body>{body, size}, {blocks < kMostBlocks ? blocks : kMostBlocks});
}

// Calls body<width>(i) for every width-th element i of (rows, columns): four elements that lie side by side where
// each row, and each of `arrays` (null: not there), is whole vectors of 16 bytes; else one. i has 32 bits where
// that is enough: bodies divide by the columns.
template <class Body, int kWidth, class Index>
struct EachPack {
  Body body;
  PYCONV_DEVICE void operator()(int64_t i) const {
    body.template operator()<kWidth>(static_cast<Index>(i) * kWidth);
  }
};

template <class Body, class... Arrays>
Status for_packs(const Context& context, int64_t rows, int64_t columns, const Body& body,
                 const Arrays*... arrays) {
  const int64_t size = rows * columns;
  if (columns % 4 || !(is_aligned(arrays) && ...))
    return for_each(context, size, EachPack<Body, 1, int64_t>{body});
  if (size >= INT32_MAX) return for_each(context, size / 4, EachPack<Body, 4, int64_t>{body});
  return for_each(context, size / 4, EachPack<Body, 4, uint32_t>{body});
}

}  // namespace
}  // namespace pyconv::cuda
