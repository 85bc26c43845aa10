"""pyconv's training step and prediction of the blog's network beside PyTorch's, in one run.

    python benchmarks/bench_step.py [--batch 128] [--threads 2] [--rounds 7] [--repeats 5]

A step is forward, backward, L2 and Adam on a float32 batch in memory; augmentation is timed apart. PyTorch
stands for the best of its layouts (contiguous, channels_last). Prints medians over all rounds and ratios.
"""

import argparse
import platform

import numpy as np
import workers
from network import IMAGE, pyconv_model, torch_model, torch_optimizer

LAYOUTS = ("channels_last", "contiguous")


def batch_of(size):
    rng = np.random.default_rng(0)
    return rng.standard_normal((size, *IMAGE), np.float32), rng.integers(0, 10, size).astype(np.int32)


# ---- pyconv: one layout, NHWC


def pyconv_train(batch, layout):
    if layout != "channels_last":
        return None
    model, (x, y) = pyconv_model(), batch_of(batch)
    return lambda: model.train_on_batch(x, y)


def pyconv_predict(batch, layout):
    if layout != "channels_last":
        return None
    model, (x, _) = pyconv_model(), batch_of(batch)
    return lambda: model.predict_on_batch(x)


def pyconv_augment(batch, layout):
    from pyconv import _core
    from pyconv.philox import to_rng_state
    from pyconv.preprocessing import Augmentation

    if layout != "channels_last":
        return None
    rng = np.random.default_rng(0)
    source = _core.from_numpy(rng.integers(0, 256, (50000, *IMAGE)).astype(np.uint8))
    index = _core.from_numpy(rng.permutation(50000)[:batch].astype(np.int32))
    augment, state = Augmentation(45, 0.1, 0.1, True), _core.from_numpy(to_rng_state(0))
    matrix, y = _core.empty((batch, 6)), _core.empty((batch, *IMAGE))

    def warp():
        _core.random_affine(state, index, height=IMAGE[0], width=IMAGE[1], **augment.ranges, matrix=matrix)
        _core.affine(source, matrix, index, **augment.border, y=y)

    return warp


# ---- PyTorch


def torch_setup(batch, layout):
    import torch

    memory = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    x, y = batch_of(batch)
    x = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=memory)
    return torch, torch_model().to(memory_format=memory), x, torch.from_numpy(y).long()


def torch_train(batch, layout):
    torch, model, x, y = torch_setup(batch, layout)
    optimizer = torch_optimizer(model)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def torch_predict(batch, layout):
    torch, model, x, _ = torch_setup(batch, layout)
    model.eval()

    def predict():
        with torch.inference_mode():
            return torch.softmax(model(x), 1)

    return predict


TASKS = {
    "pyconv": {"train": pyconv_train, "predict": pyconv_predict, "augment": pyconv_augment},
    "torch": {"train": torch_train, "predict": torch_predict},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, nargs="+", default=[128])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--worker", choices=TASKS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        workers.serve(TASKS[options.worker])
        return

    shapes = [("train", batch) for batch in options.batch]
    shapes += [("predict", batch) for batch in (*options.batch, 1)]
    shapes += [("augment", batch) for batch in options.batch]
    requests = {
        (task, batch, layout): {"task": task, "batch": batch, "layout": layout}
        for task, batch in shapes
        for layout in LAYOUTS
    }
    children = [workers.Worker(__file__, name, options.threads) for name in TASKS]
    times = workers.alternate(children, requests, options.rounds, options.repeats)
    for child in children:
        child.close()

    print(f"{processor()}, {options.threads} threads, medians of {options.rounds} x {options.repeats} runs")
    print(f"{'task':<8} {'batch':>5} {'pyconv':>17} {'PyTorch':>17}  {'its layout':<14} pyconv is")
    for task, batch in shapes:
        ours = times["pyconv", (task, batch, "channels_last")]
        row = f"{task:<8} {batch:>5} {cell(ours)}"
        peers = {layout: times.get(("torch", (task, batch, layout))) for layout in LAYOUTS}
        peers = {layout: seconds for layout, seconds in peers.items() if seconds}
        if peers:
            layout = min(peers, key=lambda name: workers.median(peers[name]))
            ratio = workers.median(peers[layout]) / workers.median(ours)
            row += f" {cell(peers[layout])}  {layout:<14} {ratio:.2f} x as fast"
        print(row)


def cell(seconds):
    return f"{1e3 * workers.median(seconds):9.2f} ms ±{100 * workers.spread(seconds):3.0f}%"


def processor():
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
