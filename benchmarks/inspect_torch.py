"""What PyTorch does in bench_inspect.py: hooks and autograd; maximisation and dreams as pyconv makes them."""

import math

import numpy as np
from network import IMAGE, batch_of, torch_model

VARIANTS = ("channels_last", "contiguous")


def about():
    import torch

    return lambda: f"PyTorch {torch.__version__} ({torch.backends.cpu.get_cpu_capability()})"


def setup(variant):
    """Return (torch, model in prediction's form, function that takes NHWC arrays in)."""
    import torch

    memory = torch.contiguous_format if variant == "contiguous" else torch.channels_last
    model = torch_model().to(memory_format=memory).eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)

    def taken(x):
        return torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=memory)

    return torch, model, taken


def nhwc(x):
    return x.permute(0, 2, 3, 1).contiguous().numpy()


def activations(torch, model):
    """Return the ReLU modules behind the convolutions."""
    return [module for module in model if isinstance(module, torch.nn.ReLU)][:6]


def features(batch, variant):
    torch, model, taken = setup(variant)
    x, found = taken(batch_of(batch)[0]), {}
    for i, module in enumerate(activations(torch, model)):
        module.register_forward_hook(lambda module, given, y, i=i: found.__setitem__(i, y))

    def run():
        with torch.inference_mode():
            model(x)
        return tuple(nhwc(found[i]) for i in range(6))

    return run


def gradient(batch, variant):
    torch, model, taken = setup(variant)
    x, y = batch_of(batch)
    y = torch.from_numpy(y).long()

    def run():
        images = taken(x).requires_grad_()
        score = model(images)[torch.arange(batch), y].sum()
        return nhwc(torch.autograd.grad(score, images)[0])

    return run


def below(torch, model):
    """Return the network up to the last convolution."""
    last = max(i for i, module in enumerate(model) if isinstance(module, torch.nn.Conv2d))
    return model[: last + 1]


def maximise(batch, steps, variant):
    """Fourier coefficients, colours, a warp a step, Adam: as pyconv/inspect/maximisation.py."""
    torch, model, _ = setup(variant)
    from pyconv.inspect.pictures import _COLOURS, Fourier

    part = below(torch, model)
    height, width, channels = IMAGE
    shape = (batch, height, width, channels)
    frequencies = torch.from_numpy(Fourier(shape, np.random.default_rng(0))._scale).float().permute(2, 0, 1)
    colours = torch.from_numpy(_COLOURS).float()

    def run():
        rng = np.random.default_rng(0)
        start = 0.01 * rng.standard_normal((batch, channels, height, width // 2 + 1, 2))
        values = torch.from_numpy(start).float().requires_grad_()
        optimizer = torch.optim.Adam([values], lr=0.05)
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            spectrum = frequencies * torch.view_as_complex(values)
            images = torch.fft.irfft2(spectrum, s=(height, width))
            images = torch.sigmoid(torch.einsum("nchw,dc->ndhw", images, colours))
            angle, zoom = rng.uniform(-0.087, 0.087), 1 + rng.uniform(-0.1, 0.1)
            shift = rng.uniform(-2, 2, 2) * 2 / height
            cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
            matrix = torch.tensor([[cos, sin, shift[1]], [-sin, cos, shift[0]]], dtype=torch.float32)
            grid = torch.nn.functional.affine_grid(
                matrix.expand(batch, 2, 3), images.shape, align_corners=False
            )
            warped = torch.nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
            maps = part(warped)
            loss = -maps[torch.arange(batch), torch.arange(batch)].mean((1, 2)).sum()
            loss.backward()
            optimizer.step()
        return images.detach().numpy()

    return run


def dream(size, steps, variant):
    torch, model, taken = setup(variant)
    part = model[: len(below(torch, model)) + 1]  # with its ReLU
    x = np.random.default_rng(0).uniform(0, 1, (1, size, size, IMAGE[2])).astype(np.float32)

    def run():
        whole, rng = taken(x), np.random.default_rng(0)
        changes = torch.zeros_like(whole)
        for octave in reversed(range(4)):
            side = round(size / 1.4**octave)
            scaled = {"size": (side, side), "mode": "bilinear", "antialias": True}
            base = torch.nn.functional.interpolate(whole, **scaled)
            changes = torch.nn.functional.interpolate(changes, **scaled)
            for _ in range(steps):
                shift = tuple(int(i) for i in rng.integers(-8, 9, 2))
                images = torch.roll(base + changes, shift, (2, 3)).detach().requires_grad_()
                loss = part(images).square().sum() / 2
                (found,) = torch.autograd.grad(loss, images)
                found = torch.roll(found, (-shift[0], -shift[1]), (2, 3))
                moved = base + changes + 0.005 * found / (found.abs().mean() + 1e-12)
                changes = moved.clamp(0, 1) - base
        return nhwc(whole + changes)

    return run


TASKS = {"about": about, "features": features, "gradient": gradient, "maximise": maximise, "dream": dream}
