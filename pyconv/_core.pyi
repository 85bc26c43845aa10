"""Types of the extension module (csrc/bindings); tests/test_stub.py holds them to it.

Ops read their arrays by position; outputs are keywords by their contract names (csrc/kernels.h): None takes
new memory, a Tensor is checked and written. The functional ops for users are in pyconv.ops.
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Literal, TypeAlias

from numpy.typing import DTypeLike, NDArray
from typing_extensions import CapsuleType, Self

_Pair: TypeAlias = int | Sequence[int]  # both, or (height, width)
_Padding: TypeAlias = str | int | Sequence[int] | Sequence[Sequence[int]]
_Algorithm: TypeAlias = Literal["auto", "direct", "gemm", "winograd_f2x2", "winograd_f4x4"]
_Group: TypeAlias = dict[
    str, Any
]  # the fields of one of the contract's structs; fields that are structs, too
_FillMode: TypeAlias = Literal["nearest", "constant", "reflect"]

__version__: str

DTYPES: dict[str, int]  # element type -> bytes
OUTPUTS: dict[
    str, dict[str, str | None]
]  # op -> {what it writes: the input whose place that may take, or None}

PHILOX_WEIGHTS: int
PHILOX_SHUFFLE: int
PHILOX_AUGMENT: int
PHILOX_DROPOUT: int
PHILOX_DATA: int

FUSE_EPILOGUE: int
FUSE_POOL: int
FUSE_INPUT: int
FUSE_REDUCTION: int
FUSE_GRADIENT: int
NEEDS_GRADIENT: int

class Tensor:
    """A contiguous array that owns its memory or borrows it and keeps the owner alive."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def ndim(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def dtype(self) -> str: ...
    @property
    def device(self) -> str: ...
    @property
    def read_only(self) -> bool: ...
    @property
    def __cuda_array_interface__(self) -> dict[str, Any]: ...
    def numpy(self) -> NDArray[Any]: ...
    def to(self, device: str) -> Tensor: ...
    def assign(self, value: Any) -> None: ...
    def copy(self) -> Tensor: ...
    def copy_from(self, source: Tensor) -> None: ...
    def reshape(self, shape: Sequence[int]) -> Tensor: ...
    def view(self, offset: int, shape: Sequence[int], dtype: str) -> Tensor: ...
    def as_read_only(self) -> Tensor: ...
    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]: ...
    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> CapsuleType: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...
    def __len__(self) -> int: ...

class Program:
    """A recorded list of kernel calls: inside `with program:`, calls are recorded and do not run."""

    def __init__(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *args: type[BaseException] | BaseException | TracebackType | None) -> None: ...
    def __len__(self) -> int: ...
    @property
    def ops(self) -> list[str]: ...
    @property
    def workspace_bytes(self) -> int: ...
    def run(self, begin: int = 0, end: int | None = None) -> None: ...
    def time(self) -> list[float]: ...

def empty(shape: Sequence[int], dtype: str = "float32", device: str = "cpu") -> Tensor: ...
def zeros(shape: Sequence[int], dtype: str = "float32", device: str = "cpu") -> Tensor: ...
def from_numpy(array: NDArray[Any]) -> Tensor: ...
def from_dlpack(array: Any) -> Tensor: ...
def available_backends() -> list[str]: ...
def backend() -> str: ...
def select_backend(name: str) -> None: ...
def default_device() -> str: ...
def has_fused_kernels(device: str) -> bool: ...
def cuda_why_not() -> str | None: ...
def cuda_name() -> str: ...
def cuda_synchronize() -> None: ...
def precision() -> str: ...
def set_precision(precision: str) -> None: ...
def num_threads() -> int: ...
def set_num_threads(threads: int) -> None: ...
def memory_statistics() -> dict[str, int]: ...
def empty_cache() -> None: ...
def read_environment() -> None: ...
def philox(
    seed: int, purpose: int, *, epoch: int = 0, step: int = 0, first: int = 0, blocks: int = 1
) -> Tensor: ...
def conv2d_output_shape(
    x_shape: Sequence[int],
    weight_shape: Sequence[int],
    *,
    stride: _Pair = 1,
    padding: _Padding = 0,
    dilation: _Pair = 1,
    groups: int = 1,
) -> tuple[int, ...]: ...
def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: _Pair = 1,
    padding: _Padding = 0,
    dilation: _Pair = 1,
    groups: int = 1,
    algorithm: _Algorithm = "auto",
    y: Tensor | None = None,
) -> Tensor: ...
def conv2d_backward_input(
    dy: Tensor,
    weight: Tensor,
    x_shape: Sequence[int],
    *,
    stride: _Pair = 1,
    padding: _Padding = 0,
    dilation: _Pair = 1,
    groups: int = 1,
    algorithm: _Algorithm = "auto",
    dx: Tensor | None = None,
) -> Tensor: ...
def conv2d_backward_weight(
    dy: Tensor,
    x: Tensor,
    weight_shape: Sequence[int],
    *,
    stride: _Pair = 1,
    padding: _Padding = 0,
    dilation: _Pair = 1,
    groups: int = 1,
    algorithm: _Algorithm = "auto",
    bias: bool = True,
    dweight: Tensor | None = None,
    dbias: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]: ...
def window_padding(
    sizes: _Pair, kernel: _Pair, *, stride: _Pair = 1, padding: _Padding = 0, dilation: _Pair = 1
) -> tuple[tuple[int, int], tuple[int, int]]: ...
def pool2d_argmax_dtype(window: _Pair) -> str: ...
def pool2d_output_shape(
    x_shape: Sequence[int],
    window: _Pair,
    *,
    stride: _Pair | None = None,
    padding: _Padding = 0,
    dilation: _Pair = 1,
    ceil_mode: bool = False,
) -> tuple[int, ...]: ...
def max_pool2d(
    x: Tensor,
    window: _Pair,
    *,
    stride: _Pair | None = None,
    padding: _Padding = 0,
    dilation: _Pair = 1,
    ceil_mode: bool = False,
    return_argmax: bool = True,
    y: Tensor | None = None,
    argmax: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]: ...
def max_pool2d_backward(
    dy: Tensor,
    argmax: Tensor,
    x_shape: Sequence[int],
    window: _Pair,
    *,
    stride: _Pair | None = None,
    padding: _Padding = 0,
    dilation: _Pair = 1,
    ceil_mode: bool = False,
    dx: Tensor | None = None,
) -> Tensor: ...
def avg_pool2d(
    x: Tensor,
    window: _Pair,
    *,
    stride: _Pair | None = None,
    padding: _Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    y: Tensor | None = None,
) -> Tensor: ...
def avg_pool2d_backward(
    dy: Tensor,
    x_shape: Sequence[int],
    window: _Pair,
    *,
    stride: _Pair | None = None,
    padding: _Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    dx: Tensor | None = None,
) -> Tensor: ...
def relu(x: Tensor, *, y: Tensor | None = None) -> Tensor: ...
def relu_backward(dy: Tensor, y: Tensor, *, dx: Tensor | None = None) -> Tensor: ...
def gelu(x: Tensor, *, approximate: bool = False, y: Tensor | None = None) -> Tensor: ...
def gelu_backward(
    dy: Tensor, x: Tensor, *, approximate: bool = False, dx: Tensor | None = None
) -> Tensor: ...
def add(a: Tensor, b: Tensor, *, y: Tensor | None = None) -> Tensor: ...
def multiply(a: Tensor, b: Tensor, *, y: Tensor | None = None) -> Tensor: ...
def divide(a: Tensor, b: Tensor, *, y: Tensor | None = None) -> Tensor: ...
def rescale(x: Tensor, *, scale: float = 1.0, offset: float = 0.0, y: Tensor | None = None) -> Tensor: ...
def exp(x: Tensor, *, y: Tensor | None = None) -> Tensor: ...
def log(x: Tensor, *, y: Tensor | None = None) -> Tensor: ...
def concatenate(a: Tensor, b: Tensor, *, axis: int = -1, y: Tensor | None = None) -> Tensor: ...
def concatenate_backward(
    dy: Tensor, size: int, *, axis: int = -1, da: Tensor | None = None, db: Tensor | None = None
) -> tuple[Tensor, Tensor]: ...
def dropout(
    x: Tensor, rng: Tensor, *, rate: float, purpose: int = ..., y: Tensor | None = None
) -> Tensor: ...
def batch_norm(
    x: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    running_mean: Tensor | None = None,
    running_variance: Tensor | None = None,
    *,
    epsilon: float = 1e-3,
    momentum: float = 0.99,
    y: Tensor | None = None,
    mean: Tensor | None = None,
    rstd: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]: ...
def batch_norm_inference(
    x: Tensor,
    gamma: Tensor | None,
    beta: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    *,
    epsilon: float = 1e-3,
    y: Tensor | None = None,
) -> Tensor: ...
def batch_norm_backward(
    dy: Tensor,
    x: Tensor,
    gamma: Tensor | None,
    mean: Tensor,
    rstd: Tensor,
    *,
    dx: Tensor | None = None,
    dgamma: Tensor | None = None,
    dbeta: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]: ...
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, y: Tensor | None = None) -> Tensor: ...
def linear_backward_input(dy: Tensor, weight: Tensor, *, dx: Tensor | None = None) -> Tensor: ...
def linear_backward_weight(
    dy: Tensor,
    x: Tensor,
    *,
    bias: bool = True,
    dweight: Tensor | None = None,
    dbias: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]: ...
def softmax(x: Tensor, *, y: Tensor | None = None) -> Tensor: ...
def softmax_backward(dy: Tensor, y: Tensor, *, dx: Tensor | None = None) -> Tensor: ...
def softmax_cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    label_smoothing: float = 0.0,
    dloss: Tensor | None = None,
    gradient: bool = True,
    loss: Tensor | None = None,
    dlogits: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]: ...
def cross_entropy(
    x: Tensor, target: Tensor, *, label_smoothing: float = 0.0, loss: Tensor | None = None
) -> Tensor: ...
def cross_entropy_backward(
    dloss: Tensor, x: Tensor, target: Tensor, *, label_smoothing: float = 0.0, dx: Tensor | None = None
) -> Tensor: ...
def accuracy(scores: Tensor, target: Tensor, *, correct: Tensor | None = None) -> Tensor: ...
def sum(x: Tensor, *, scale: float = 1.0, total: Tensor | None = None) -> Tensor: ...
def sum_of_squares(x: Tensor, *, scale: float = 1.0, total: Tensor | None = None) -> Tensor: ...
def adam(
    dweight: Tensor,
    weight: Tensor,
    m: Tensor,
    v: Tensor,
    hyper: Tensor,
    *,
    l2: float = 0.0,
    guard: Tensor | None = None,
) -> None: ...
def sgd(
    dweight: Tensor,
    weight: Tensor,
    velocity: Tensor | None,
    hyper: Tensor,
    *,
    l2: float = 0.0,
    nesterov: bool = False,
    guard: Tensor | None = None,
) -> None: ...
def gather(
    source: Tensor,
    index: Tensor | None = None,
    *,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    y: Tensor | None = None,
) -> Tensor: ...
def affine(
    source: Tensor,
    matrix: Tensor,
    index: Tensor | None = None,
    *,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    fill_mode: _FillMode = "nearest",
    fill_value: float = 0.0,
    y: Tensor | None = None,
) -> Tensor: ...
def random_affine(
    rng: Tensor,
    index: Tensor,
    *,
    height: int,
    width: int,
    rotation_range: float = 0.0,
    height_shift_range: float = 0.0,
    width_shift_range: float = 0.0,
    horizontal_flip: bool = False,
    vertical_flip: bool = False,
    matrix: Tensor | None = None,
) -> Tensor: ...

# Fused calls, for pyconv/engine/fusion (csrc/kernels.h, FusedKernels).

def conv2d_fusions(
    x_shape: Sequence[int],
    weight_shape: Sequence[int],
    *,
    stride: _Pair = 1,
    padding: _Padding = 0,
    dilation: _Pair = 1,
    groups: int = 1,
    prepared: bool = False,
    device: str = "cpu",
) -> int: ...
def conv2d_prepared_size(
    x_shape: Sequence[int],
    weight_shape: Sequence[int],
    *,
    stride: _Pair = 1,
    padding: _Padding = 0,
    dilation: _Pair = 1,
    groups: int = 1,
    device: str = "cpu",
) -> int: ...
def conv2d_prepare(
    weight: Tensor,
    x_shape: Sequence[int],
    *,
    stride: _Pair = 1,
    padding: _Padding = 0,
    dilation: _Pair = 1,
    groups: int = 1,
    prepared: Tensor | None = None,
) -> Tensor: ...
def conv2d_fused(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: _Pair = 1,
    padding: _Padding = 0,
    dilation: _Pair = 1,
    groups: int = 1,
    input: _Group | None = None,
    prepared: Tensor | None = None,
    epilogue: _Group | None = None,
    y: Tensor | None = None,
) -> Tensor | None: ...
def conv2d_backward_input_fused(
    dy: Tensor,
    weight: Tensor,
    x_shape: Sequence[int],
    *,
    stride: _Pair = 1,
    padding: _Padding = 0,
    dilation: _Pair = 1,
    groups: int = 1,
    reduction: _Group,
    dx: Tensor | None = None,
) -> Tensor: ...
def conv2d_backward_weight_fused(
    x: Tensor,
    weight_shape: Sequence[int],
    *,
    stride: _Pair = 1,
    padding: _Padding = 0,
    dilation: _Pair = 1,
    groups: int = 1,
    gradient: _Group,
    input: _Group | None = None,
    bias: bool = True,
    dweight: Tensor | None = None,
    dbias: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]: ...
def normalize(x: Tensor, normalization: _Group, *, y: Tensor | None = None) -> Tensor: ...
def batch_norm_fold(
    gamma: Tensor | None,
    beta: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    *,
    epsilon: float = 1e-3,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
) -> tuple[Tensor, Tensor]: ...
def batch_norm_reduce(dy: Tensor, *, reduction: _Group) -> None: ...
def max_pool2d_signed(
    x: Tensor, gamma: Tensor | None = None, *, y: Tensor | None = None, argmax: Tensor | None = None
) -> tuple[Tensor, Tensor]: ...
