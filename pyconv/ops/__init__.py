"""The functional ops and their gradients, one to one with csrc/kernels.h.

Arrays are NHWC, kernels HWIO, float32. NumPy arrays in give NumPy arrays out; anything else that has
`__dlpack__` (a Tensor, PyTorch, JAX, CuPy) is taken without a copy and gives a `Tensor`, as does a mixture.
Strided arrays are copied; other dtypes are refused, but labels and indices may have any integer dtype. No op
writes to its arguments. A batch may be empty.

Every op raises ValueError for shapes and values, and TypeError for dtypes and types, that it cannot take,
with a message that names the op, the argument, what was expected and what came.
"""

from pyconv import names
from pyconv.ops.arithmetic import *
from pyconv.ops.batches import *
from pyconv.ops.classification import *
from pyconv.ops.concatenation import *
from pyconv.ops.convolution import *
from pyconv.ops.dense import *
from pyconv.ops.elementwise import *
from pyconv.ops.normalization import *
from pyconv.ops.optimization import *
from pyconv.ops.pooling import *
from pyconv.ops.reduction import *

__all__ = names.made_in(__name__, vars())

from pyconv.ops.arguments import as_tensor as as_tensor  # not an op

for _name in __all__:
    globals()[_name].__module__ = __name__  # the one public place, whatever file holds the op


def __getattr__(name):
    raise names.missing(__name__, name, __all__)
