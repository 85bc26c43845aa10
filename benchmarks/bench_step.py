"""pyconv's training step and prediction of the blog's network beside its peers', in one run.

    python benchmarks/bench_step.py [--batch 128] [--threads 2] [--rounds 7] [--repeats 5]
        [--tables step batch memory] [--isa avx2] [--fuse]

A step is forward, backward, L2 and Adam on a float32 batch in memory; making the batch is timed apart. A
library stands for the best of its variants. docs/benchmarks.md says what is compared and how.
"""

import argparse
import contextlib
import os
import tempfile
from typing import NamedTuple

import peers_onnx
import peers_torch
import step_pyconv
from report import best, cell, median, print_left_out, print_machine
from workers import Row, contest, serve, start


class Library(NamedTuple):
    """What a library's worker runs, in which environment, and how `--isa` holds it to an instruction set."""

    tasks: dict
    variants: tuple = ("",)
    environment: dict = {}  # noqa: RUF012 (never written)
    isa: dict = {}  # noqa: RUF012


TORCH_ISA = {
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        # Inductor's cache does not tell apart what it compiled for AVX-512: NaN and corrupted memory (2.13).
        "TORCHINDUCTOR_CACHE_DIR": os.path.join(tempfile.gettempdir(), "torchinductor_pyconv_avx2"),
    }
}
LIBRARIES = {
    "pyconv": Library(step_pyconv.TASKS, isa={"avx2": {"PYCONV_ISA": "avx2"}}),
    "PyTorch": Library(peers_torch.TASKS, peers_torch.VARIANTS, isa=TORCH_ISA),
    "PyTorch, malloc tuned": Library(
        peers_torch.TASKS, peers_torch.VARIANTS, peers_torch.KEEP_MEMORY, TORCH_ISA
    ),
    "ONNX Runtime": Library(peers_onnx.ONNXRUNTIME),
    "OpenVINO": Library(peers_onnx.OPENVINO),
}
# Training's losses differ most by PyTorch's channels_last batch normalisation, off by 2e-4 in one layer.
TOLERANCE = {"train": 2e-3, "predict": 1e-4}
MEMORY_STEPS = 20


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, nargs="+", default=[128])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--repeats", type=int, default=5)
    tables = ("step", "batch", "memory")
    parser.add_argument("--tables", nargs="+", choices=tables, default=tables)
    parser.add_argument(
        "--isa", choices=TORCH_ISA, help="hold pyconv and PyTorch to it; leave the others out"
    )
    parser.add_argument("--fuse", action="store_true", help="time the training step with fuse=False, too")
    parser.add_argument("--worker", choices=LIBRARIES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        serve(LIBRARIES[options.worker].tasks)
        return

    with contextlib.ExitStack() as stack:
        chosen, left_out = environments(options.isa)
        workers, about, more = start(stack, __file__, chosen, options.threads)
        left_out |= more
        print_machine(options, about)
        if "step" in options.tables or "batch" in options.tables:
            rows = step_rows(options, workers)
            times, more = contest(rows, options.rounds, options.repeats)
            left_out |= more
        if "step" in options.tables:
            print_steps(times)
            print_per_image(times, options.batch)
        if "batch" in options.tables:
            print_batches(times, options.batch)
        if "memory" in options.tables:
            print_memory(workers, options.batch)
    print_left_out(left_out)


def environments(isa):
    """Return {library: its worker's environment}, {library: why it is left out}."""
    held = {name: library for name, library in LIBRARIES.items() if not isa or isa in library.isa}
    left_out = {name: f"nothing holds it to {isa}" for name in LIBRARIES if name not in held}
    return {name: library.environment | library.isa.get(isa, {}) for name, library in held.items()}, left_out


def step_rows(options, workers):
    """Return {(task, batch): Row} of all that is timed."""
    shapes = [("train", batch) for batch in options.batch]
    shapes += [("predict", batch) for batch in dict.fromkeys((*options.batch, 1))]
    rows = {}
    for task, batch in shapes:
        contestants = {}
        for name, worker in workers.items():
            library = LIBRARIES[name]
            for variant in library.variants if task in library.tasks else ():
                arguments = {"batch": batch, **({"variant": variant} if variant else {})}
                contestants[name, variant] = (worker, task, arguments)
        if options.fuse and task == "train":
            arguments = {"batch": batch, "fuse": False}
            contestants["pyconv, fuse=False", ""] = (workers["pyconv"], task, arguments)
        rows[task, batch] = Row(contestants, TOLERANCE[task])
    for batch in options.batch if "batch" in options.tables else ():
        for task, arguments in (
            ("shuffle", {}),
            ("augment", {"batch": batch}),
            ("normalise", {"batch": batch}),
        ):
            rows[task, batch] = Row({("pyconv", ""): (workers["pyconv"], task, arguments)})
    return rows


def print_steps(times):
    """Print who takes how long, and how many times as fast pyconv is."""
    print(f"\n{'task':<8} {'batch':>5}  {'library':<22} {'its variant':<14} {'time':>17}  pyconv is")
    for (task, batch), taken in times.items():
        if task not in TOLERANCE:
            continue
        chosen = best(taken)
        ours = median(chosen["pyconv"][1])
        for name, (variant, seconds) in chosen.items():
            ratio = "" if name == "pyconv" else f"{median(seconds) / ours:5.2f} x as fast"
            row = f"{task:<8} {batch:>5}  {name:<22} {variant:<14} {cell(seconds)}  {ratio}"
            print(row.rstrip())


def print_per_image(times, batches):
    """Print a training step's time per image at each batch size, in microseconds."""
    if len(batches) < 2:
        return
    print(
        f"\n{'training, us an image':<24}"
        + "".join(f"{batch:>9}" for batch in batches)
        + "   largest / smallest"
    )
    per_image = {}
    for batch in batches:
        for name, (_, seconds) in best(times["train", batch]).items():
            per_image.setdefault(name, []).append(1e6 * median(seconds) / batch)
    for name, values in per_image.items():
        print(
            f"{name:<24}"
            + "".join(f"{value:9.1f}" for value in values)
            + f"{max(values) / min(values):12.2f}"
        )


def print_batches(times, batches):
    """Print what making a batch adds to a training step; a shuffle counts for its share of the epoch."""
    print("\nmaking a batch in pyconv, ms a step, and all of it beside the training step")
    print(f"{'batch':>5}{'shuffle':>10}{'augment':>10}{'normalise':>11}{'of the step':>13}")
    for batch in batches:
        shuffle, augment, normalise, train = (
            1e3 * median(times[task, batch]["pyconv", ""])
            for task in ("shuffle", "augment", "normalise", "train")
        )
        shuffle *= batch / step_pyconv.IMAGES
        share = (shuffle + augment + normalise) / train
        print(f"{batch:>5}{shuffle:10.3f}{augment:10.3f}{normalise:11.3f}{100 * share:12.2f}%")


def print_memory(workers, batches):
    """Print what warm training steps take from the system, in all."""
    print(
        f"\n{f'{MEMORY_STEPS} warm training steps take':<37} {'batch':>5}"
        f"{'page faults':>13}{'system calls':>14}{'bytes':>9}"
    )
    for batch in batches:
        for name, worker in workers.items():
            if "memory" not in LIBRARIES[name].tasks:
                continue
            for what, counts in worker.ask("value", "memory", batch=batch, steps=MEMORY_STEPS).items():
                numbers = (counts.get(key, "-") for key in ("page faults", "system calls", "bytes"))
                print("{:<37} {:>5}{:>13}{:>14}{:>9}".format(f"{name}: {what}", batch, *numbers))


if __name__ == "__main__":
    main()
