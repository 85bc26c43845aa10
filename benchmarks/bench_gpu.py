"""pyconv on a GPU beside PyTorch, in one run: ceilings, the blog's convolutions, the whole training step.

    python benchmarks/bench_gpu.py [--batch 64 128 512 1024] [--precision tf32 bfloat16] [--rounds 5]
    python benchmarks/bench_gpu.py --dry-run     # on the emulator: one small batch, no times worth reading

A convolution is timed as a graph of calls on buffers that take turns, together larger than the L2; PyTorch's
(channels_last, cudnn.benchmark) as a CUDA graph of the same calls. docs/benchmarks.md says more.
"""

import argparse
import math
import os
import sys
import time
from pathlib import Path

import numpy as np
from network import batch_of, pyconv_model
from report import cell, median

TESTS = Path(__file__).resolve().parent.parent / "tests"
L2_BYTES = 64 << 20  # more than an H200's 60 MB
STEP_BATCHES = (64, 128, 512)
PASSES = ("conv2d", "conv2d_backward_input", "conv2d_backward_weight")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, nargs="+", default=[64, 128, 512, 1024])
    parser.add_argument("--precision", nargs="+", choices=("tf32", "bfloat16"), default=["tf32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=540, help="stop before the next row after so long")
    parser.add_argument("--dry-run", action="store_true")
    options = parser.parse_args()
    sys.path.append(str(TESTS))
    if options.dry_run:
        from cuda_emulator.build import build

        os.environ["PYCONV_CUDA_LIBRARY"] = str(build())
        options.batch, options.rounds = [2], 1

    from pyconv import cuda

    if why := cuda.why_not():
        sys.exit(f"no GPU to measure on: {why}")
    end = time.perf_counter() + options.seconds
    peer = None if options.dry_run else torch_peer()
    print(
        f"{cuda.device_name()}; medians of {options.rounds} rounds; {peer.about() if peer else 'no PyTorch'}"
    )
    print_ceilings(options, peer)
    for task in (print_steps, print_layers):
        task(options, peer, end)


def torch_peer():
    """Return the module with PyTorch's side, or None."""
    try:
        import peers_torch_gpu
    except ModuleNotFoundError as error:
        print(f"left out: PyTorch ({error})")
        return None
    return peers_torch_gpu


def timed(function, calls, wait):
    """Return the seconds of one of `calls` calls that `function` makes, the device's work included."""
    wait()
    start = time.perf_counter()
    function()
    wait()
    return (time.perf_counter() - start) / calls


def contest(contestants, rounds):
    """Return {name: seconds}, from functions asked in turn that give them; the first turn is a warm-up."""
    taken = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, function in contestants.items():
            seconds = function()
            if turn:
                taken[name].append(seconds)
    return taken


def print_row(what, taken, operations=0):
    ours = median(taken["pyconv"])
    row = f"{what:<58} {cell(taken['pyconv'])}"
    if operations:
        row += f" {operations / ours / 1e12:7.1f} TFLOP/s"
    for name, seconds in taken.items():
        if name != "pyconv":
            row += f"  {name} {cell(seconds)} {median(seconds) / ours:5.2f} x"
    print(row, flush=True)


def print_ceilings(options, peer):
    from pyconv import _core, cuda

    size = (1 << 16) if options.dry_run else (1 << 28)
    source, target = (_core.empty((size,), device="cuda") for _ in range(2))
    source.assign(0)

    def copy():
        for _ in range(10):
            target.copy_from(source)

    taken = contest({"pyconv": lambda: timed(copy, 10, cuda.synchronize)}, options.rounds)
    print(f"copy {8 * size / median(taken['pyconv']) / 1e12:.2f} TB/s (read and written)")
    if peer:
        print(peer.matrix_product())


# ---- convolutions


def print_layers(options, peer, end):
    from shape_cases import NETWORK_CONV2D

    from pyconv import _core

    print("\nconvolutions, a call; operations counted as direct convolution")
    for layer, case in NETWORK_CONV2D.items():
        for batch in options.batch:
            for precision in options.precision:
                _core.set_precision(precision)
                for name in PASSES:
                    if time.perf_counter() > end:
                        return print("stopped: out of time")
                    if case.x[-1] == 3 and name == "conv2d_backward_input":
                        continue  # no training needs it
                    contestants = {"pyconv": pyconv_pass(name, case, batch, options.dry_run)}
                    if peer:
                        contestants["PyTorch"] = peer.conv2d_pass(
                            name, case, batch, precision, buffers(case, batch)
                        )
                    pixels = batch * math.prod(case.x[1:3])
                    taken = contest(contestants, options.rounds)
                    print_row(
                        f"{layer} {name} {batch} {precision}", taken, 2 * pixels * math.prod(case.weight)
                    )
    return None


def buffers(case, batch):
    """Return how many sets of arrays take turns."""
    x, y = batch * math.prod(case.x[1:]), batch * math.prod(case.x[1:3]) * case.weight[-1]
    return max(2, -(-2 * L2_BYTES // (4 * (x + y))))


def pyconv_pass(name, case, batch, dry_run):
    """Return the function that gives the seconds of a call, from a graph of as many as there are buffers."""
    from pyconv import _core, cuda

    rng, count = np.random.default_rng(0), 2 if dry_run else buffers(case, batch)
    x_shape = (batch, *case.x[1:])
    y_shape = _core.conv2d_output_shape(x_shape, case.weight, **case.attributes)

    def made(shape):
        return _core.from_numpy(rng.standard_normal(shape, np.float32)).to("cuda")

    x, dy, weight, bias = made(x_shape), made(y_shape), made(case.weight), made(case.weight[-1:])
    xs, dys = [x.copy() for _ in range(count)], [dy.copy() for _ in range(count)]
    program = _core.Program()
    with program:
        for x, dy in zip(xs, dys, strict=True):
            if name == "conv2d":
                _core.conv2d(x, weight, bias, **case.attributes, y=dy)
            elif name == "conv2d_backward_input":
                _core.conv2d_backward_input(dy, weight, x_shape, **case.attributes, dx=x)
            else:
                _core.conv2d_backward_weight(dy, x, case.weight, **case.attributes)
    for _ in range(2):  # calls, then the capture
        program.run()
    return lambda: timed(program.run, count, cuda.synchronize)


# ---- the whole step


def print_steps(options, peer, end):
    from pyconv import _core

    print("\ntraining step of the blog's network: forward, backward, L2 and Adam; batch on the device")
    for batch in [b for b in STEP_BATCHES if b in options.batch] or options.batch:
        for precision in options.precision:
            if time.perf_counter() > end:
                return print("stopped: out of time")
            _core.set_precision(precision)
            contestants = {"pyconv": pyconv_step(batch, 1 if options.dry_run else 20)}
            for variant in peer.STEP_VARIANTS if peer else ():
                contestants[variant] = peer.step(variant, batch, precision)
            print_row(f"step {batch} {precision}", contest(contestants, options.rounds))
    return None


def pyconv_step(batch, steps):
    from pyconv import cuda
    from pyconv.engine.batch import Batch

    x, y = batch_of(batch)
    model = pyconv_model().to("cuda")
    model.train_on_batch(x, y)
    plan = model.trainer.training_plan(Batch(batch, x.shape[1:], "float32", "cuda"), y.shape)
    plan["x0"].assign(x)
    plan["target0"].assign(y)
    for _ in range(2):
        plan.run()

    def run():
        for _ in range(steps):
            plan.run()

    return lambda: timed(run, steps, cuda.synchronize)


if __name__ == "__main__":
    main()
