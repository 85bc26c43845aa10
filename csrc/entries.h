// The names of the contract's entries and of their parameters after the context, once. Every backend declares and
// fills its tables from these lists, and the bindings tell the planner from them what a call writes: what is no
// pointer to const. `y = x`: the planner may let y take x's memory, where the contract allows it in place.
// An entry of kernels.h that is missing here does not compile (-Werror=missing-field-initializers).
#pragma once

#include "kernels.h"

// clang-format off
#define PYCONV_KERNELS(ENTRY) \
  ENTRY(conv2d, shape, x, weight, bias, y) \
  ENTRY(conv2d_backward_input, shape, dy, weight, dx) \
  ENTRY(conv2d_backward_weight, shape, dy, x, dweight, dbias) \
  ENTRY(conv2d_workspace, shape, pass) \
  ENTRY(max_pool2d, shape, x, y, argmax) \
  ENTRY(max_pool2d_backward, shape, dy, argmax, dx) \
  ENTRY(avg_pool2d, shape, x, y) \
  ENTRY(avg_pool2d_backward, shape, dy, dx) \
  ENTRY(relu, size, x, y = x) \
  ENTRY(relu_backward, size, dy, y, dx = dy) \
  ENTRY(gelu, size, approximate, x, y = x) \
  ENTRY(gelu_backward, size, approximate, dy, x, dx = dy) \
  ENTRY(add, size, a, b, y = a) \
  ENTRY(multiply, size, a, b, y = a) \
  ENTRY(divide, size, a, b, y = a) \
  ENTRY(rescale, size, scale, offset, x, y = x) \
  ENTRY(exp, size, x, y = x) \
  ENTRY(log, size, x, y = x) \
  ENTRY(dropout, shape, rng, x, y = x) \
  ENTRY(concatenate, shape, a, b, y) \
  ENTRY(concatenate_backward, shape, dy, da, db) \
  ENTRY(batch_norm, shape, x, gamma, beta, running_mean, running_variance, y, mean, rstd) \
  ENTRY(batch_norm_inference, shape, x, gamma, beta, mean, variance, y) \
  ENTRY(batch_norm_backward, shape, dy, x, gamma, mean, rstd, dx = dy, dgamma, dbeta) \
  ENTRY(batch_norm_workspace, shape) \
  ENTRY(linear, shape, x, weight, bias, y) \
  ENTRY(linear_backward_input, shape, dy, weight, dx) \
  ENTRY(linear_backward_weight, shape, dy, x, dweight, dbias) \
  ENTRY(linear_workspace, shape, pass) \
  ENTRY(softmax, shape, x, y) \
  ENTRY(softmax_backward, shape, dy, y, dx) \
  ENTRY(softmax_cross_entropy, shape, logits, labels, targets, dloss, loss, dlogits = logits) \
  ENTRY(cross_entropy, shape, x, labels, targets, loss) \
  ENTRY(cross_entropy_backward, shape, dloss, x, labels, targets, dx) \
  ENTRY(accuracy, shape, scores, labels, targets, correct) \
  ENTRY(sum, size, scale, x, total) \
  ENTRY(sum_of_squares, size, scale, x, total) \
  ENTRY(adam, size, l2, hyper, guard, dweight, weight, m, v) \
  ENTRY(sgd, size, l2, nesterov, hyper, guard, dweight, weight, velocity) \
  ENTRY(gather, shape, source_type, source, index, scale, shift, y) \
  ENTRY(affine, shape, source_type, source, index, matrix, scale, shift, y) \
  ENTRY(random_affine, shape, rng, index, matrix)

#define PYCONV_FUSED_KERNELS(ENTRY) \
  ENTRY(conv2d_fusions, shape) \
  ENTRY(conv2d_prepare, shape, weight, prepared) \
  ENTRY(conv2d_prepared_bytes, shape) \
  ENTRY(conv2d_fused, shape, x, input, weight, prepared, bias, epilogue, y) \
  ENTRY(conv2d_backward_input_fused, shape, dy, weight, reduction, dx) \
  ENTRY(conv2d_backward_weight_fused, shape, gradient, x, input, dweight, dbias) \
  ENTRY(normalize, shape, x, normalization, y) \
  ENTRY(batch_norm_fold, shape, gamma, beta, mean, variance, scale, shift) \
  ENTRY(max_pool2d_signed, shape, x, gamma, y, argmax) \
  ENTRY(batch_norm_reduce, shape, dy, reduction)
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
#define PYCONV_DECLARE_ENTRY(name, ...) Pointee<decltype(Kernels::name)>::type name;
#define PYCONV_DECLARE_FUSED_ENTRY(name, ...) Pointee<decltype(FusedKernels::name)>::type name;
#define PYCONV_FILL_ENTRY(name, ...) .name = name,
