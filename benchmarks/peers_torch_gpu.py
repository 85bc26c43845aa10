"""What PyTorch does in bench_gpu.py: convolutions and training steps as users run them and as CUDA graphs."""

import time

import torch
from network import batch_of, torch_model, torch_optimizer

STEP_VARIANTS = ("eager", "compiled", "graph")
torch.backends.cudnn.benchmark = True


def about():
    return f"PyTorch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}"


def matrix_product(size=8192, calls=10):
    """Return a line with the rate of a bfloat16 matrix product on random numbers."""
    a, b = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    seconds = _seconds(lambda: [a @ b for _ in range(calls)], calls)
    return f"matrix product {size}^3 in bfloat16: {2 * size**3 / seconds / 1e12:.0f} TFLOP/s (PyTorch)"


def conv2d_pass(name, case, batch, precision, buffers):
    """Return the function that gives the seconds of a call, from a graph of as many as there are buffers."""
    _allow(precision)
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    _, height, width, channels = case.x
    kh, kw, _, filters = case.weight
    padding = kh // 2 if case.padding == "same" else case.padding

    def made(*shape):
        data = torch.randn(shape, device="cuda", dtype=dtype)
        return data.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else data

    xs = [made(batch, channels, height, width) for _ in range(buffers)]
    dys = [made(batch, filters, height, width) for _ in range(buffers)]
    weight, bias = made(filters, channels // case.groups, kh, kw), made(filters)
    backward = torch.ops.aten.convolution_backward
    masks = {"conv2d_backward_input": [True, False, False], "conv2d_backward_weight": [False, True, True]}

    def calls():
        for x, dy in zip(xs, dys, strict=True):
            if name == "conv2d":
                torch.nn.functional.conv2d(x, weight, bias, padding=padding)
            else:
                arguments = [filters], [1, 1], [padding] * 2, [1, 1], False, [0, 0], case.groups
                backward(dy, x, weight, *arguments, masks[name])

    replay = _captured(calls)
    return lambda: _seconds(replay, buffers)


def step(variant, batch, precision, steps=20):
    """Return the function that gives the seconds of one training step of the blog's network."""
    _allow(precision)
    x, y = batch_of(batch)
    x = torch.from_numpy(x).permute(0, 3, 1, 2).to("cuda").contiguous(memory_format=torch.channels_last)
    y = torch.from_numpy(y).long().to("cuda")
    model = torch_model().to("cuda").to(memory_format=torch.channels_last)
    optimizer = torch_optimizer(model, capturable=variant == "graph")

    def loss_of(x, y):
        with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bfloat16"):
            return torch.nn.functional.cross_entropy(model(x), y)

    if variant == "compiled":
        loss_of = torch.compile(loss_of, fullgraph=True, dynamic=False)

    def one():
        optimizer.zero_grad(set_to_none=True)
        loss_of(x, y).backward()
        optimizer.step()

    one = _captured(one) if variant == "graph" else one
    for _ in range(3):
        one()
    return lambda: _seconds(lambda: [one() for _ in range(steps)], steps)


def _allow(precision):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"


def _captured(calls):
    """Return the replay of a CUDA graph of what `calls` does, warmed up on a stream of its own.

    It holds on to `calls` and thereby to the tensors: a graph keeps addresses alone.
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            calls()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        calls()
    return lambda keep=calls: graph.replay()


def _seconds(function, calls):
    torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / calls
