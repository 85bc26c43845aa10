// This instruction set's tables. An entry left out does not compile (-Werror=missing-field-initializers).
#include "cpu.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {

extern const Kernels kKernels;
const Kernels kKernels{
    .conv2d = conv2d,
    .conv2d_backward_input = conv2d_backward_input,
    .conv2d_backward_weight = conv2d_backward_weight,
    .conv2d_workspace = conv2d_workspace,
    .max_pool2d = max_pool2d,
    .max_pool2d_backward = max_pool2d_backward,
    .avg_pool2d = avg_pool2d,
    .avg_pool2d_backward = avg_pool2d_backward,
    .relu = relu,
    .relu_backward = relu_backward,
    .add = add,
    .dropout = dropout,
    .batch_norm = batch_norm,
    .batch_norm_inference = batch_norm_inference,
    .batch_norm_backward = batch_norm_backward,
    .batch_norm_workspace = batch_norm_workspace,
    .linear = linear,
    .linear_backward_input = linear_backward_input,
    .linear_backward_weight = linear_backward_weight,
    .linear_workspace = linear_workspace,
    .softmax = softmax,
    .softmax_backward = softmax_backward,
    .softmax_cross_entropy = softmax_cross_entropy,
    .accuracy = accuracy,
    .sum = sum,
    .sum_of_squares = sum_of_squares,
    .adam = adam,
    .sgd = sgd,
    .gather = gather,
    .affine = affine,
    .random_affine = random_affine,
};

extern const FusedKernels kFusedKernels;
const FusedKernels kFusedKernels{
    .conv2d_fusions = conv2d_fusions,
    .conv2d_prepare = conv2d_prepare,
    .conv2d_prepared_bytes = conv2d_prepared_bytes,
    .conv2d_fused = conv2d_fused,
    .conv2d_backward_input_fused = conv2d_backward_input_fused,
    .conv2d_backward_weight_fused = conv2d_backward_weight_fused,
    .normalize = normalize,
    .batch_norm_fold = batch_norm_fold,
    .max_pool2d_signed = max_pool2d_signed,
    .batch_norm_reduce = batch_norm_reduce,
};

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
