// What every CPU kernel file includes. These files are compiled once per instruction set into the namespace
// pyconv::cpu::<isa>; an inline function or template instance that escaped it could replace the baseline's
// copy at link time, so no standard library templates here (tests/test_isolation.py looks with nm).
#pragma once

#include "../kernels.h"
#include "../parallel.h"
#include "vec.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {

namespace {

PYCONV_INLINE int64_t min(int64_t a, int64_t b) {
  return a < b ? a : b;
}
PYCONV_INLINE int64_t max(int64_t a, int64_t b) {
  return a > b ? a : b;
}
PYCONV_INLINE int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
PYCONV_INLINE int64_t round_up(int64_t a, int64_t b) {
  return ceil_div(a, b) * b;
}

// parallel_for with a callable; the lambda's type keeps each instance local to its file.
template <class Function>
PYCONV_INLINE void parallel(int64_t chunks, const Function& function) {
  parallel_for(
      chunks, [](void* data, int64_t chunk) { (*static_cast<const Function*>(data))(chunk); },
      const_cast<void*>(static_cast<const void*>(&function)));
}

// Chunk `i` of `chunks` nearly equal parts of [0, size), cut at multiples of `align`.
struct Range {
  int64_t begin, end;
};
PYCONV_INLINE Range chunk_range(int64_t size, int64_t chunks, int64_t i, int64_t align = 1) {
  const int64_t blocks = ceil_div(size, align);
  return {min(size, blocks * i / chunks * align), min(size, blocks * (i + 1) / chunks * align)};
}

// How many chunks to cut `size` elements of elementwise work into: at least `grain` each, at most 256.
PYCONV_INLINE int64_t elementwise_chunks(int64_t size, int64_t grain = 16384) {
  return max(1, min(256, size / grain));
}

}  // namespace

// Each entry, declared by the contract's own type, so that a definition that strays does not link.
template <class>
struct Pointee;
template <class T>
struct Pointee<T*> {
  using type = T;
};
#define PYCONV_ENTRY(name) Pointee<decltype(Kernels::name)>::type name;
PYCONV_ENTRY(conv2d)
PYCONV_ENTRY(conv2d_backward_input)
PYCONV_ENTRY(conv2d_backward_weight)
PYCONV_ENTRY(conv2d_workspace)
PYCONV_ENTRY(max_pool2d)
PYCONV_ENTRY(max_pool2d_backward)
PYCONV_ENTRY(avg_pool2d)
PYCONV_ENTRY(avg_pool2d_backward)
PYCONV_ENTRY(relu)
PYCONV_ENTRY(relu_backward)
PYCONV_ENTRY(add)
PYCONV_ENTRY(dropout)
PYCONV_ENTRY(batch_norm)
PYCONV_ENTRY(batch_norm_inference)
PYCONV_ENTRY(batch_norm_backward)
PYCONV_ENTRY(batch_norm_workspace)
PYCONV_ENTRY(linear)
PYCONV_ENTRY(linear_backward_input)
PYCONV_ENTRY(linear_backward_weight)
PYCONV_ENTRY(linear_workspace)
PYCONV_ENTRY(softmax)
PYCONV_ENTRY(softmax_backward)
PYCONV_ENTRY(softmax_cross_entropy)
PYCONV_ENTRY(accuracy)
PYCONV_ENTRY(sum)
PYCONV_ENTRY(sum_of_squares)
PYCONV_ENTRY(adam)
PYCONV_ENTRY(sgd)
PYCONV_ENTRY(gather)
PYCONV_ENTRY(affine)
PYCONV_ENTRY(random_affine)
#undef PYCONV_ENTRY
#define PYCONV_FUSED_ENTRY(name) Pointee<decltype(FusedKernels::name)>::type name;
PYCONV_FUSED_ENTRY(conv2d_fusions)
PYCONV_FUSED_ENTRY(conv2d_prepare)
PYCONV_FUSED_ENTRY(conv2d_prepared_bytes)
PYCONV_FUSED_ENTRY(conv2d_fused)
PYCONV_FUSED_ENTRY(conv2d_backward_input_fused)
PYCONV_FUSED_ENTRY(conv2d_backward_weight_fused)
PYCONV_FUSED_ENTRY(normalize)
PYCONV_FUSED_ENTRY(batch_norm_fold)
PYCONV_FUSED_ENTRY(batch_norm_reduce)
PYCONV_FUSED_ENTRY(max_pool2d_signed)
#undef PYCONV_FUSED_ENTRY

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
