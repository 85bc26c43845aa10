"""The functional ops and their gradients, one to one with csrc/kernels.h.

Arrays are NHWC, kernels HWIO, float32. NumPy arrays in give NumPy arrays out; anything else that has
`__dlpack__` (a Tensor, PyTorch, JAX, CuPy) is taken without a copy and gives a `Tensor`, as does a mixture.
Strided arrays are copied; other dtypes are refused, but labels and indices may have any integer dtype. No op
writes to its arguments. A batch may be empty.

Every op raises ValueError for shapes and values, and TypeError for dtypes and types, that it cannot take,
with a message that names the op, the argument, what was expected and what came.
"""

from pyconv import names
from pyconv.ops.arguments import as_tensor as as_tensor
from pyconv.ops.arithmetic import add, divide, exp, log, multiply, rescale
from pyconv.ops.batches import affine, gather, random_affine
from pyconv.ops.classification import (
    accuracy,
    cross_entropy,
    cross_entropy_backward,
    softmax,
    softmax_backward,
    softmax_cross_entropy,
)
from pyconv.ops.concatenation import concatenate, concatenate_backward
from pyconv.ops.convolution import conv2d, conv2d_backward_input, conv2d_backward_weight
from pyconv.ops.dense import linear, linear_backward_input, linear_backward_weight
from pyconv.ops.elementwise import dropout, gelu, gelu_backward, relu, relu_backward
from pyconv.ops.normalization import batch_norm, batch_norm_backward, batch_norm_inference
from pyconv.ops.optimization import adam, sgd
from pyconv.ops.pooling import (
    avg_pool2d,
    avg_pool2d_backward,
    global_avg_pool2d,
    global_avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
)
from pyconv.ops.reduction import sum, sum_of_squares

__all__ = [
    "accuracy",
    "adam",
    "add",
    "affine",
    "avg_pool2d",
    "avg_pool2d_backward",
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_inference",
    "concatenate",
    "concatenate_backward",
    "conv2d",
    "conv2d_backward_input",
    "conv2d_backward_weight",
    "cross_entropy",
    "cross_entropy_backward",
    "divide",
    "dropout",
    "exp",
    "gather",
    "gelu",
    "gelu_backward",
    "global_avg_pool2d",
    "global_avg_pool2d_backward",
    "linear",
    "linear_backward_input",
    "linear_backward_weight",
    "log",
    "max_pool2d",
    "max_pool2d_backward",
    "multiply",
    "random_affine",
    "relu",
    "relu_backward",
    "rescale",
    "sgd",
    "softmax",
    "softmax_backward",
    "softmax_cross_entropy",
    "sum",
    "sum_of_squares",
]

for _name in __all__:
    globals()[_name].__module__ = __name__  # the one public place, whatever file holds the op


def __getattr__(name):
    raise names.missing(__name__, name, __all__)
