"""The fusion pass: what a trace does in several passes over memory becomes one, where the backend offers it.

A convolution and what follows it, ReLU, batch normalisation, ReLU and 2x2 max pooling (each may be missing),
form a `Chain` (chains.py). In training it becomes

- `conv2d_fused`: bias, ReLU, statistics and pooling in the convolution's epilogue. The normalisation itself
  is left to its readers: convolutions apply it as they load their input; for others `normalize` writes it.
- `conv2d_backward_weight_fused`: the gradients of pooling, normalisation and ReLU, made as dy is loaded.
- the normalisation's two sums, in the `conv2d_backward_input` that computes its gradient, or in a
  `batch_norm_reduce`.

Pooling takes the maxima of what is normalised only later: where gamma is negative, the minima
(csrc/kernels.h).

In prediction a chain is one call, with the normalisation in its epilogue; what depends on parameters alone
(`Trace.constants`) is computed when they change.

Softmax and cross-entropy are one call with or without the rest (loss.py).
"""

from pyconv import _core
from pyconv.engine.fusion.loss import fuse_loss as fuse_loss
from pyconv.engine.fusion.prediction import fuse_prediction
from pyconv.engine.fusion.training import TrainingFusion


def fuse(trace):
    """Rewrite the calls of `trace`, where its device has fused kernels."""
    if not _core.has_fused_kernels(trace.device):
        return
    if trace.training:
        trace.calls = TrainingFusion(trace.calls, trace.device).calls
    else:
        trace.constants, trace.calls = fuse_prediction(trace)
