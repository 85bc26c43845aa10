"""Where a training step's time goes: each kernel call beside its floor, and what fusion is worth.

    python benchmarks/bench_calls.py [--batch 128] [--threads 2] [--runs 15] [--peak GFLOPS] [--isa avx512]

A call's floor is the larger of its multiply-adds at the peak (of the algorithm: F(4x4, 3x3) does a quarter of
a direct convolution's, and whole tiles) and its arrays, read or written once, at a copy's bandwidth; both are
measured here. The fused step's calls and the plain ones (`compile(fuse=False)`) run in turn.
"""

import argparse
import math
import os
import time

import numpy as np
from network import batch_of, pyconv_model
from peak import measured_peak
from report import median, processor

WINOGRAD_TILE, WINOGRAD_PRODUCTS = 4, 36


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--peak", type=float, help="GFLOP/s of one core; default: measured")
    parser.add_argument("--isa", help="instruction set; default: the best")
    options = parser.parse_args()
    os.environ["PYCONV_NUM_THREADS"] = str(options.threads)
    if options.isa:
        os.environ["PYCONV_ISA"] = options.isa

    plans = {fused: plan_of(options.batch, fused) for fused in (True, False)}
    times = {fused: [] for fused in plans}
    for _ in range(options.runs):
        for fused, plan in plans.items():
            plan.run()
            times[fused].append(plan.time())

    bandwidth = copy_bandwidth(options.threads)
    peak, how = peak_of(options)
    print(f"{processor()}, {options.threads} threads, batch {options.batch}, medians of {options.runs} runs")
    print(f"peak {peak / 1e9:.0f} GFLOP/s ({how})")
    print(f"copy {bandwidth / 1e9:.1f} GB/s (read and written)\n")
    print_calls(plans[True], times[True], peak, bandwidth)
    print()
    print_kinds({"fused": times[True], "plain": times[False]})


def plan_of(batch, fused):
    model, (x, y) = pyconv_model(fuse=fused), batch_of(batch)
    model.train_on_batch(x, y)
    return model.trainer.plans.latest("train")


def peak_of(options):
    """FLOP/s of all threads together, and where the figure is from."""
    if options.peak:
        return 1e9 * options.peak * options.threads, "as given by --peak"
    from pyconv import _core

    return measured_peak(_core.backend(), options.threads)


def copy_bandwidth(threads):
    """Bytes per second of a kernel that reads one large array and writes another."""
    from pyconv import _core

    x, y = _core.empty((1 << 24,)), _core.empty((1 << 24,))
    x.numpy()[...] = 0
    seconds = []
    for _ in range(9):
        start = time.perf_counter()
        _core.relu(x, y=y)
        seconds.append(time.perf_counter() - start)
    return 2 * x.nbytes / median(seconds)


def print_calls(plan, runs, peak, bandwidth):
    print(f"{'call':<29} {'layer':<9} {'ms':>6} {'products':>9} {'bytes':>6} {'of floor':>9}  fused")
    totals = np.zeros(2)
    for i, (op, layer, _) in enumerate(runs[0]):
        ms = 1e3 * median([run[i][2] for run in runs])
        call = plan.calls[i] if i < len(plan.calls) else None  # the optimizer's calls come after the trace's
        products = 1e3 * 2 * multiply_adds(call) / peak if call else 0
        memory = 1e3 * array_bytes(call) / bandwidth if call else 0
        totals += ms, max(products, memory)
        if ms >= 0.1:
            share = f"{max(products, memory) / ms:9.0%}" if call else " " * 9
            fused = ", ".join(call.fused) if call else ""
            print(f"{op:<29} {layer:<9} {ms:6.2f} {products:9.2f} {memory:6.2f} {share}  {fused}")
    print(f"{'all calls':<39} {totals[0]:6.2f} {'floor':>9} {totals[1]:6.2f} {totals[1] / totals[0]:9.0%}")


def print_kinds(timed):
    """Milliseconds of each op, fused and plain."""
    kinds = {}
    for name, runs in timed.items():
        for i, (op, _, _) in enumerate(runs[0]):
            kind = op.removesuffix("_fused")
            row = kinds.setdefault(kind, dict.fromkeys(timed, 0.0))
            row[name] += 1e3 * median([run[i][2] for run in runs])
    print(f"{'op (all its calls, ms)':<29} {'fused':>8} {'plain':>8}")
    for kind, row in kinds.items():
        if max(row.values()) >= 0.1:
            print(f"{kind:<29} {row['fused']:8.2f} {row['plain']:8.2f}")
    sums = [sum(row[name] for row in kinds.values()) for name in ("fused", "plain")]
    print(f"{'all':<29} {sums[0]:8.2f} {sums[1]:8.2f}")


def multiply_adds(call):
    """Of the algorithm that convolutions of 16 channels and more take here, else of direct convolution."""
    if not call.op.startswith("conv2d"):
        return 0
    a = call.arguments
    KH, KW, C_in, C_out = a["weight_shape"] if "weight_shape" in a else a["weight"].shape
    forward = call.op.startswith(("conv2d_fused", "conv2d_backward_weight")) or call.op == "conv2d"
    image = a.get("y") or a.get("dy") or a["d"] if forward else a["dx"]
    N, H, W = image.shape[:3]
    if min(C_in, C_out) < 16 or (KH, KW) != (3, 3):
        return N * H * W * KH * KW * C_in * C_out
    tiles = N * math.ceil(H / WINOGRAD_TILE) * math.ceil(W / WINOGRAD_TILE)
    return tiles * WINOGRAD_PRODUCTS * C_in * C_out


def array_bytes(call):
    arrays = [v for v in call.arguments.values() if hasattr(v, "shape")]
    return sum(math.prod(a.shape) * (1 if getattr(a, "dtype", "") == "uint8" else 4) for a in arrays)


if __name__ == "__main__":
    main()
