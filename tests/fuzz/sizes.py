"""Huge and odd sizes for every op, tensor, layer and field of a model's file: exceptions, never a crash.

    python tests/fuzz/sizes.py --cases 10000 --seed 0      # CONTRIBUTING.md: under AddressSanitizer
    python tests/fuzz/sizes.py --seed 0 --only 4711            # one case again, in this process

Each case runs in a child forked from this warm process, with limits on its memory and its seconds of
processor. Prints how the cases ended; the exit status is 1 if one crashed or ran out of time.
"""

import argparse
import collections
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np

import pyconv
from pyconv import Sequential, _core, checkpoint, layers, load_model, model_from_json, ops, philox

SECONDS = 20  # of processor time
MEBIBYTES = 512  # that a case may have beyond what this process has
SMALL = (1, 1, 1, 2, 2, 3, 3, 4, 5, 7, 8, 16, 17, 33)
HUGE = [
    *(0, -1, 64, 255, 256, 1000, 4096, 10**6, 10**9),
    *(
        2**k + d
        for k in (15, 16, 20, 24, 30, 31, 32, 33, 40, 44, 47, 52, 60, 61, 62, 63, 64)
        for d in (-1, 0, 1)
    ),
    2**70,
]
ENDS = ("ok", "ValueError", "TypeError", "MemoryError", "another exception")
FIRST_END = 10  # exit statuses of children, apart from those of the sanitizers


class Draw:
    """What a case is made of."""

    def __init__(self, seed, number):
        self.rng = np.random.default_rng([seed, number])
        self.odds = self.rng.choice([0.0, 0.05, 0.15, 0.5])  # that a size is a huge one

    def one(self, choices):
        return choices[self.rng.integers(len(choices))]

    def size(self):
        return self.one(HUGE) if self.rng.random() < self.odds else self.one(SMALL)

    def shape(self, rank=4):
        return tuple(self.size() for _ in range(rank))

    def pair(self):
        return self.size() if self.rng.random() < 0.5 else (self.size(), self.size())

    def padding(self):
        return self.one(
            ["valid", "same", 0, self.pair(), ((self.size(), self.size()), (self.size(), self.size()))]
        )

    def array(self, shape, dtype="float32"):
        """An array of that shape where memory allows, else of one like it, which need not fit the others."""
        sizes = [min(max(n, 0), 2**40) for n in shape]
        for i in np.argsort(sizes)[::-1]:
            if np.prod(np.float64(sizes)) > 2**18:
                sizes[i] = self.one((0, 1, 2, 3))
        while np.prod([max(n, 1) for n in map(float, sizes)]) > 2**60:  # NumPy's own bound, zeros apart
            sizes[int(np.argmax(sizes))] = 3
        return np.ones(sizes, dtype)


def output(size, kernel, stride, padding, dilation=1, ceil_mode=False):
    """Sizes of a convolution's or pooling's output, in numbers without bounds; None where it is refused."""
    both = [v if isinstance(v, tuple) else (v, v) for v in (kernel, stride, dilation)]
    if padding == "same":
        return tuple(-(-n // s) if s else None for n, s in zip(size, both[1], strict=True))
    sides = (0, 0) if padding == "valid" else padding if isinstance(padding, tuple) else (padding, padding)
    sides = [side if isinstance(side, tuple) else (side, side) for side in sides]
    found = []
    for n, side, k, s, d in zip(size, sides, *both, strict=True):
        if s < 1:
            return None
        span = n + sum(side) - d * (k - 1) - 1 + (s - 1 if ceil_mode else 0)
        found.append(span // s + 1)
    return tuple(found)


def conv2d_case(draw):
    groups = draw.one((1, 1, 1, 2, draw.size()))
    per_group, filters = draw.size(), draw.size()
    depthwise = draw.rng.random() < 0.3
    if depthwise:
        per_group, groups = 1, filters
    x, weight = (*draw.shape(3), per_group * groups), (*draw.shape(2), per_group, filters)
    keywords = {
        "stride": draw.pair(),
        "padding": draw.padding(),
        "dilation": draw.pair(),
        "groups": groups,
        "algorithm": draw.one(("auto", "auto", "direct", "gemm", "winograd_f2x2", "winograd_f4x4")),
    }
    if draw.rng.random() < 0.5:
        keywords |= {"stride": 1, "dilation": 1}
        weight = (3, 3, *weight[2:])
    geometry = [keywords[name] for name in ("stride", "padding", "dilation")]
    y = output(x[1:3], weight[:2], *geometry)
    dy = (x[0], *y, filters) if y and None not in y else draw.shape()
    name = draw.one(("conv2d", "conv2d_backward_input", "conv2d_backward_weight"))
    arguments = {
        "conv2d": lambda: (draw.array(x), draw.array(weight)),
        "conv2d_backward_input": lambda: (draw.array(dy), draw.array(weight), x),
        "conv2d_backward_weight": lambda: (draw.array(dy), draw.array(x), weight),
    }[name]()
    return name, arguments, keywords


def pool2d_case(draw):
    x, window = draw.shape(), draw.pair()
    keywords = {
        "stride": draw.one((None, draw.pair())),
        "padding": draw.padding(),
        "ceil_mode": bool(draw.rng.integers(2)),
    }
    name = draw.one(("max_pool2d", "max_pool2d_backward", "avg_pool2d", "avg_pool2d_backward"))
    dilation = 1
    if name.startswith("max"):
        keywords["dilation"] = dilation = draw.one((1, draw.pair()))
    else:
        keywords["count_include_pad"] = bool(draw.rng.integers(2))
    stride = window if keywords["stride"] is None else keywords["stride"]
    y = output(x[1:3], window, stride, keywords["padding"], dilation, keywords["ceil_mode"])
    dy = draw.array((x[0], *y, x[3]) if y and None not in y else draw.shape())
    if not name.endswith("backward"):
        return name, (draw.array(x), window), keywords
    taps = int(np.prod(np.float64(window)))
    argmax = dy.astype(np.uint8 if taps <= 256 else np.int32)
    return name, (dy, argmax, x, window) if name.startswith("max") else (dy, x, window), keywords


def rows_case(draw):
    n, k, c = draw.size(), draw.size(), draw.size()
    rows, columns = draw.array((n, k)), draw.array((k, c))
    name = draw.one(("linear", "linear_backward_input", "linear_backward_weight", "softmax",
                     "softmax_backward", "softmax_cross_entropy", "accuracy"))  # fmt: skip
    labels = np.zeros(rows.shape[:1], np.int64) if rows.shape[0] < 2**20 else rows
    arguments = {
        "linear": (rows, columns),
        "linear_backward_input": (draw.array((n, c)), columns),
        "linear_backward_weight": (draw.array((n, c)), rows),
        "softmax": (rows,),
        "softmax_backward": (rows, rows),
        "softmax_cross_entropy": (rows, draw.one((labels, rows))),
        "accuracy": (rows, draw.one((labels, rows))),
    }[name]
    return name, arguments, {}


def elements_case(draw):
    x = draw.array(draw.shape(draw.one((0, 1, 2, 3, 4, 5))))
    channels = np.ones(x.shape[-1:] if x.size < 2**20 and x.shape[-1:] < (2**20,) else (3,), np.float32)
    name = draw.one(("relu", "relu_backward", "add", "dropout", "sum", "sum_of_squares", "batch_norm",
                     "batch_norm_inference", "batch_norm_backward", "adam", "sgd"))  # fmt: skip
    arguments, keywords = {
        "dropout": ((x,), {"rate": 0.5, "seed": draw.size(), "purpose": draw.size(), "step": draw.size()}),
        "batch_norm": ((x, channels, channels), {}),
        "batch_norm_inference": ((x, channels, channels, channels, channels), {}),
        "batch_norm_backward": ((x, x, channels, channels, channels), {}),
        "adam": ((x, x, x, x), {"step": draw.size()}),
        "sgd": ((x, x, x), {"momentum": 0.5}),
    }.get(name, ((x, x) if name in ("relu_backward", "add") else (x,), {}))
    return name, arguments, keywords


def images_case(draw):
    shape = draw.shape()
    name = draw.one(("gather", "affine", "random_affine", "global_avg_pool2d", "global_avg_pool2d_backward"))
    source = draw.array(shape, draw.one(("uint8", "float32")))
    index = np.asarray([draw.size() for _ in range(3)], dtype=object)
    index = np.asarray([i if abs(i) < 2**40 else 0 for i in index])
    if name == "gather":
        return name, (source, draw.one((None, index))), {}
    if name == "affine":
        matrix = np.float32(draw.rng.standard_normal((draw.one((3, len(source) % 100)), 6))) * draw.size()
        return (
            name,
            (source, matrix, draw.one((None, index))),
            {"fill_mode": draw.one(("nearest", "constant", "reflect"))},
        )
    if name == "random_affine":
        return (
            name,
            (index,),
            {"height": draw.size(), "width": draw.size(), "seed": draw.size(), "epoch": draw.size()},
        )
    if name == "global_avg_pool2d":
        return name, (draw.array(shape),), {}
    return name, (draw.array((shape[0], shape[3])), shape), {}


def op_case(draw):
    name, arguments, keywords = draw.one((conv2d_case, conv2d_case, pool2d_case, pool2d_case, rows_case,
                                          elements_case, images_case))(draw)  # fmt: skip
    shown = [f"array{a.shape}" if isinstance(a, np.ndarray) else repr(a) for a in arguments]
    text = f"ops.{name}({', '.join(shown + [f'{k}={v!r}' for k, v in keywords.items()])})"
    return text, lambda: getattr(ops, name)(*arguments, **keywords)


def tensor_case(draw):
    shape = draw.shape(draw.one((1, 2, 3, 4, 5)))
    dtype = draw.one(("float32", "uint8", "float64"))
    count, offset, seed = draw.size(), draw.size(), draw.size()
    base = _core.zeros((6, 8, 16))
    source = draw.array(shape)
    x, weight, window = draw.shape(), draw.shape(), draw.pair()
    stride, padding, dilation, groups = draw.pair(), draw.padding(), draw.pair(), draw.size()
    geometry = {"stride": stride, "padding": padding, "dilation": dilation}
    prepared = {**geometry, "groups": groups, "device": "cpu"}
    calls = {
        f"empty({shape}, {dtype!r})": lambda: _core.empty(shape, dtype),
        f"zeros({shape}, {dtype!r})": lambda: _core.zeros(shape, dtype),
        f"zeros((6, 8, 16)).reshape({shape})": lambda: base.reshape(shape),
        f"zeros((6, 8, 16)).view({offset}, {shape}, {dtype!r})": lambda: (
            base.view(offset, shape, dtype).numpy().sum()
        ),
        f"from_dlpack(array{source.shape})": lambda: pyconv.from_dlpack(source).copy().numpy().sum(),
        f"philox(1, 2, blocks={count})": lambda: _core.philox(1, 2, blocks=count),
        f"philox.uniform({shape}, seed={seed})": lambda: philox.uniform(shape, seed=seed, purpose=0),
        f"philox.permutation({count}, seed=0, epoch={seed})": lambda: philox.permutation(
            count, seed=0, epoch=seed
        ),
        f"conv2d_output_shape({x}, {weight}, groups={groups}, **{geometry})": lambda: (
            _core.conv2d_output_shape(x, weight, groups=groups, **geometry)
        ),
        f"pool2d_output_shape({x}, {window}, **{geometry})": lambda: _core.pool2d_output_shape(
            x, window, **geometry
        ),
        f"conv2d_fusions({x}, {weight}, **{prepared})": lambda: _core.conv2d_fusions(x, weight, **prepared),
        f"conv2d_prepared_size({x}, {weight}, **{prepared})": lambda: _core.conv2d_prepared_size(
            x, weight, **prepared
        ),
    }
    text = draw.one(list(calls))
    return f"_core.{text}", calls[text]


def layer_case(draw):
    made = {
        "Conv2D": {
            "filters": draw.size(),
            "kernel_size": draw.pair(),
            "strides": draw.pair(),
            "padding": draw.one(("valid", "same")),
            "dilation_rate": draw.pair(),
            "groups": draw.one((1, draw.size())),
        },
        "Dense": {"units": draw.size()},
        "MaxPooling2D": {"pool_size": draw.pair(), "strides": draw.one((None, draw.pair()))},
        "AveragePooling2D": {"pool_size": draw.pair(), "strides": draw.one((None, draw.pair()))},
        "BatchNormalization": {},
        "Flatten": {},
        "GlobalAveragePooling2D": {},
    }
    name = draw.one(list(made))
    shape, batch = draw.shape(1 if name == "Dense" else 3), draw.size()
    more = draw.one(("", "Dense", "Conv2D"))
    x = draw.array((batch, *shape))

    def call():
        stack = [getattr(layers, name)(**made[name], input_shape=shape)]
        stack += [layers.Flatten(), layers.Dense(draw.size())] if more == "Dense" else []
        stack += [layers.Conv2D(draw.size(), draw.pair())] if more == "Conv2D" else []
        model = Sequential(stack)
        model.predict(x, batch_size=draw.size(), verbose=0)
        model(x, training=True)

    options = ", ".join(f"{k}={v!r}" for k, v in made[name].items())
    first = f"layers.{name}({options}, input_shape={shape})"
    return f"Sequential([{first}, {more}]).predict(array{x.shape})", call


def model():
    """A small model that uses every layer with a size in its configuration, and a description of it."""
    model = Sequential([
        layers.Conv2D(4, 3, padding="same", groups=1, input_shape=(8, 8, 2)),
        layers.BatchNormalization(),
        layers.MaxPooling2D(2),
        layers.Residual([layers.Conv2D(4, 3, padding="same")]),
        layers.Conv2D(6, (3, 2), strides=2, dilation_rate=1, padding="same"),
        layers.AveragePooling2D((1, 2)),
        layers.Dropout(0.5),
        layers.Flatten(),
        layers.Dense(5, activation="softmax"),
    ])  # fmt: skip
    model.compile("adam", "categorical_crossentropy", ["accuracy"])
    return model


def numbers_of(part, path=()):
    """Yield the path to every whole number of a JSON description."""
    if isinstance(part, bool):
        return
    if isinstance(part, int):
        yield path
    elif isinstance(part, (dict, list)):
        for key, value in part.items() if isinstance(part, dict) else enumerate(part):
            yield from numbers_of(value, (*path, key))


def put(part, path, value):
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value


class Files:
    """Model files of which one number or array shape is another."""

    def __init__(self, folder):
        self.path = Path(folder) / "model.safetensors"
        model().save(str(self.path))
        self.arrays, self.metadata = checkpoint.load(str(self.path))

    def case(self, draw):
        metadata = json.loads(json.dumps(self.metadata))
        arrays, changes = dict(self.arrays), []
        paths = list(numbers_of(metadata))
        for _ in range(draw.one((1, 1, 2, 4))):
            path, value = draw.one(paths), draw.one(HUGE)
            put(metadata, path, value)
            changes.append(f"{'.'.join(map(str, path))} = {value}")
        if draw.rng.random() < 0.3:
            name = draw.one(sorted(arrays))
            arrays[name] = draw.array(draw.shape(draw.one((0, 1, 2, 4))))
            changes.append(f"{name} array{arrays[name].shape}")
        x = draw.array((2, 8, 8, 2))

        def as_file():
            checkpoint.save(str(self.path), arrays, metadata)
            load_model(str(self.path)).predict(x, verbose=0)

        def as_json():
            model_from_json(json.dumps(metadata["model"])).predict(x, verbose=0)

        kind = draw.one(("load_model", "model_from_json"))
        return f"{kind}: {'; '.join(changes)}", as_file if kind == "load_model" else as_json


def case_of(seed, number, files):
    """Return (what it is, in words; a function that runs it)."""
    draw = Draw(seed, number)
    kind = draw.one((op_case, op_case, op_case, tensor_case, layer_case, files.case))
    return kind(draw)


def limit():
    """Limit this process' memory and time; a sanitizer has limits of its own for memory."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    if "libasan" not in Path("/proc/self/maps").read_text():
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEBIBYTES * 2**20,) * 2)


def run(case):
    """Run a case; return its place in ENDS and the error's text."""
    try:
        case()
    except (ValueError, TypeError, MemoryError) as error:
        kind = next(kind for kind in (ValueError, TypeError, MemoryError) if isinstance(error, kind))
        return ENDS.index(kind.__name__), str(error)
    except Exception as error:
        return len(ENDS) - 1, f"{type(error).__name__}: {error}"
    return 0, ""


def end_of(seed, number, files):
    """Run a case in a child; return how it ended: one of ENDS, CRASH or TIMEOUT."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            limit()
            _core.set_num_threads(1 + number % 3)
            _, case = case_of(seed, number, files)
            status = FIRST_END + run(case)[0]
        except MemoryError:  # while the case was made
            status = FIRST_END + ENDS.index("MemoryError")
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "TIMEOUT" if os.WTERMSIG(status) == signal.SIGPROF else "CRASH"
    end = os.WEXITSTATUS(status) - FIRST_END
    return ENDS[end] if 0 <= end < len(ENDS) else "CRASH"


def fuzz(cases, seed, report=print):
    """Run the cases; return {end: how many}."""
    ends = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        files = Files(folder)
        _core.set_num_threads(1)
        for number in range(cases):
            end = end_of(seed, number, files)
            ends[end] += 1
            if end in ("CRASH", "TIMEOUT"):
                text, _ = case_of(seed, number, files)
                report(f"{end} --seed {seed} --only {number}: {text}")
    return ends


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="run this case alone, in this process")
    options = parser.parse_args(arguments)
    if options.only is not None:
        with tempfile.TemporaryDirectory() as folder:
            text, case = case_of(options.seed, options.only, Files(folder))
            print(text, flush=True)
            limit()
            end, error = run(case)
            print(ENDS[end], error)
        return 0
    start = time.monotonic()
    ends = fuzz(options.cases, options.seed, lambda text: print(text, flush=True))
    counts = ", ".join(f"{ends[end]} {end}" for end in (*ENDS, "CRASH", "TIMEOUT"))
    print(f"{options.cases} cases in {time.monotonic() - start:.0f} s: {counts}")
    return 1 if ends["CRASH"] or ends["TIMEOUT"] else 0


if __name__ == "__main__":
    sys.exit(main())
