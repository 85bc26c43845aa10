"""pyconv's convolutions beside PyTorch's, layer by layer: forward, input gradient, weight gradient.

    python benchmarks/bench_ops.py [--layers 'blog*' 'resnet*'] [--batch N] [--threads 2] [--rounds 7]
        [--repeats 5]

The layers are named in tests/shape_cases.py: the blog's network, by default at batch 128, ResNet-18's and
MobileNet's at 16. Each result is held to PyTorch's before it is timed. GFLOP/s count direct convolution,
whatever the algorithm. PYCONV_ISA chooses pyconv's instruction set. docs/benchmarks.md says more.
"""

import argparse
import contextlib
import fnmatch
import math
import sys
from pathlib import Path

import numpy as np
import peers_torch
import step_pyconv
from report import best, cell, median, print_left_out, print_machine
from workers import Row, contest, serve, start

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
from shape_cases import IMAGENET_CONV2D, NETWORK_CONV2D

LAYERS = NETWORK_CONV2D | IMAGENET_CONV2D
PASSES = ("conv2d", "conv2d_backward_input", "conv2d_backward_weight")
LAYOUTS = ("channels_last", "contiguous")


def arrays_of(layer, batch):
    """Return (case, x, weight, bias, shape of y, dy), the same in every process."""
    from pyconv import _core

    case = LAYERS[layer]
    rng = np.random.default_rng(0)
    x_shape = (batch, *case.x[1:])
    y_shape = _core.conv2d_output_shape(x_shape, case.weight, **case.attributes)
    shapes = (x_shape, case.weight, case.weight[-1:], y_shape)
    return case, *(rng.standard_normal(shape, np.float32) for shape in shapes)


def pyconv_pass(name, layer, batch):
    from pyconv import _core

    case, *arrays = arrays_of(layer, batch)
    x, weight, bias, dy = map(_core.from_numpy, arrays)
    options = case.attributes
    if name == "conv2d":
        y = _core.empty(dy.shape)
        return lambda: _core.conv2d(x, weight, bias, **options, y=y), np.asarray
    if name == "conv2d_backward_input":
        dx = _core.empty(x.shape)
        return lambda: _core.conv2d_backward_input(dy, weight, x.shape, **options, dx=dx), np.asarray
    outputs = {"dweight": _core.empty(weight.shape), "dbias": _core.empty(bias.shape)}
    return (
        lambda: _core.conv2d_backward_weight(dy, x, weight.shape, **options, **outputs),
        lambda gradients: tuple(map(np.asarray, gradients)),
    )


def torch_pass(name, layer, batch, layout):
    import torch

    case, x, weight, bias, dy = arrays_of(layer, batch)
    memory = torch.channels_last if layout == "channels_last" else torch.contiguous_format

    def given(array, *axes):
        return torch.from_numpy(array).permute(axes).contiguous(memory_format=memory)

    x, dy, weight = given(x, 0, 3, 1, 2), given(dy, 0, 3, 1, 2), given(weight, 3, 2, 0, 1)
    bias = torch.from_numpy(bias)
    options = case.attributes
    if options["padding"] == "same":  # of layers with stride 1
        options["padding"] = case.weight[0] // 2

    def nhwc(tensor):
        return tensor.permute(0, 2, 3, 1).numpy()

    if name == "conv2d":
        return lambda: torch.nn.functional.conv2d(x, weight, bias, **options), nhwc
    pairs = ([options[key]] * 2 for key in ("stride", "padding", "dilation"))
    arguments = (dy, x, weight, [len(bias)], *pairs, False, [0, 0], options["groups"])
    backward = torch.ops.aten.convolution_backward
    if name == "conv2d_backward_input":
        return lambda: backward(*arguments, [True, False, False]), lambda gradients: nhwc(gradients[0])
    return (
        lambda: backward(*arguments, [False, True, True]),
        lambda gradients: (gradients[1].permute(2, 3, 1, 0).numpy(), gradients[2].numpy()),
    )


# pyconv writes into outputs made beforehand, PyTorch cannot: it shall not fault their pages in each call.
ENVIRONMENTS = {"pyconv": {}, "PyTorch": peers_torch.KEEP_MEMORY}
TASKS = {
    "pyconv": {"about": step_pyconv.about, "pass": pyconv_pass},
    "PyTorch": {"about": peers_torch.about, "pass": torch_pass},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", nargs="+", default=["*"], metavar="PATTERN")
    parser.add_argument("--batch", type=int, help="default: 128 for the blog's layers, 16 for the others")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--worker", choices=TASKS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        serve(TASKS[options.worker])
        return
    layers = [name for name in LAYERS if any(fnmatch.fnmatch(name, pattern) for pattern in options.layers)]
    if not layers:
        parser.error(f"no layer matches {options.layers}; there are {', '.join(LAYERS)}")

    with contextlib.ExitStack() as stack:
        workers, about, left_out = start(stack, __file__, ENVIRONMENTS, options.threads)
        print_machine(options, about)
        print(
            f"\n{'layer':<31} {'pass':<23} {'batch':>5}  {'pyconv':>17} {'GFLOP/s':>8}  "
            f"{'PyTorch':>17} {'GFLOP/s':>8} {'its layout':<14} pyconv is"
        )
        for layer in layers:
            batch = options.batch or (128 if layer in NETWORK_CONV2D else 16)
            times, more = contest(rows_of(layer, batch, workers), options.rounds, options.repeats)
            left_out |= more
            print_layer(layer, batch, times)
            for worker in workers.values():
                worker.ask("forget")  # the next layer's arrays need the memory
    print_left_out(left_out)


def rows_of(layer, batch, workers):
    """Return {pass: Row}; the tolerance grows with the root of the number of products in a sum."""
    case = LAYERS[layer]
    products = {
        "conv2d": math.prod(case.weight[:3]),
        "conv2d_backward_input": math.prod(case.weight[:2]) * case.weight[3] // case.groups,
        "conv2d_backward_weight": batch * math.prod(case.x[1:3]),
    }
    rows = {}
    for name in PASSES:
        task = {"name": name, "layer": layer, "batch": batch}
        contestants = {("pyconv", ""): (workers["pyconv"], "pass", task)}
        for layout in LAYOUTS if "PyTorch" in workers else ():
            contestants["PyTorch", layout] = (workers["PyTorch"], "pass", {**task, "layout": layout})
        rows[name] = Row(contestants, 8 * np.finfo(np.float32).eps * math.sqrt(products[name]))
    return rows


def print_layer(layer, batch, times):
    from pyconv._core import conv2d_output_shape

    case = LAYERS[layer]
    pixels = batch * math.prod(conv2d_output_shape(case.x, case.weight, **case.attributes)[1:3])
    operations = 2 * pixels * math.prod(case.weight)
    for name, taken in times.items():
        row = f"{layer:<31} {name:<23} {batch:>5}"
        ours = median(taken["pyconv", ""])
        for library, (layout, seconds) in best(taken).items():
            row += f"  {cell(seconds)} {operations / median(seconds) / 1e9:8.1f}"
            if library != "pyconv":
                row += f" {layout:<14} {median(seconds) / ours:5.2f} x as fast"
        print(row, flush=True)


if __name__ == "__main__":
    main()
