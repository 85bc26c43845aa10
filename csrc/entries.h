// The names of the contract's entries, once: every backend declares and fills its tables from these lists. An
// entry of kernels.h that is missing here does not compile (-Werror=missing-field-initializers).
#pragma once

#include "kernels.h"

// clang-format off
#define PYCONV_KERNELS(ENTRY) \
  ENTRY(conv2d) \
  ENTRY(conv2d_backward_input) \
  ENTRY(conv2d_backward_weight) \
  ENTRY(conv2d_workspace) \
  ENTRY(max_pool2d) \
  ENTRY(max_pool2d_backward) \
  ENTRY(avg_pool2d) \
  ENTRY(avg_pool2d_backward) \
  ENTRY(relu) \
  ENTRY(relu_backward) \
  ENTRY(add) \
  ENTRY(dropout) \
  ENTRY(batch_norm) \
  ENTRY(batch_norm_inference) \
  ENTRY(batch_norm_backward) \
  ENTRY(batch_norm_workspace) \
  ENTRY(linear) \
  ENTRY(linear_backward_input) \
  ENTRY(linear_backward_weight) \
  ENTRY(linear_workspace) \
  ENTRY(softmax) \
  ENTRY(softmax_backward) \
  ENTRY(softmax_cross_entropy) \
  ENTRY(accuracy) \
  ENTRY(sum) \
  ENTRY(sum_of_squares) \
  ENTRY(adam) \
  ENTRY(sgd) \
  ENTRY(gather) \
  ENTRY(affine) \
  ENTRY(random_affine)

#define PYCONV_FUSED_KERNELS(ENTRY) \
  ENTRY(conv2d_fusions) \
  ENTRY(conv2d_prepare) \
  ENTRY(conv2d_prepared_bytes) \
  ENTRY(conv2d_fused) \
  ENTRY(conv2d_backward_input_fused) \
  ENTRY(conv2d_backward_weight_fused) \
  ENTRY(normalize) \
  ENTRY(batch_norm_fold) \
  ENTRY(max_pool2d_signed) \
  ENTRY(batch_norm_reduce)
// clang-format on

namespace pyconv {

template <class>
struct Pointee;
template <class T>
struct Pointee<T*> {
  using type = T;
};

}  // namespace pyconv

// In a backend's namespace: each entry, declared by the contract's own type, so that a definition that strays does
// not link; and in its table's initialiser.
#define PYCONV_DECLARE_ENTRY(name) Pointee<decltype(Kernels::name)>::type name;
#define PYCONV_DECLARE_FUSED_ENTRY(name) Pointee<decltype(FusedKernels::name)>::type name;
#define PYCONV_FILL_ENTRY(name) .name = name,
