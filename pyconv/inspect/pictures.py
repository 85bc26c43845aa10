"""Images as numbers to be optimised: Fourier coefficients, colours, warps, sizes; each with its gradient."""

import numpy as np

# What decorrelates colours: the square root of the covariance of ImageNet's, as Lucid has it (its
# optvis/param/color.py), divided by its largest column's length.
_COLOURS = np.array([[0.26, 0.09, 0.02], [0.27, 0.0, -0.05], [0.27, -0.09, 0.03]])
_COLOURS = _COLOURS / np.linalg.norm(_COLOURS, axis=0).max()


class Fourier:
    """Images from the coefficients of their Fourier transform, each frequency as loud as in natural images.

    Olah, Mordvintsev and Schubert, "Feature Visualization" (Distill, 2017), "Preconditioning and
    parameterization": coefficients are divided by their frequency, colours are decorrelated.
    """

    def __init__(self, shape, rng, spread=0.01):
        _, height, width, channels = self.shape = shape
        rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)
        frequency = np.maximum(np.hypot(rows, columns), 1 / max(height, width))
        # A column that is its own mirror image counts once, the others twice.
        twice = np.where((np.arange(len(columns)) == 0) | (2 * np.arange(len(columns)) == width), 1, 2)
        self._scale = (np.sqrt(height * width) / frequency / 4)[..., None]
        self._adjoint = self._scale * (twice / (height * width))[:, None]
        self._colours = _COLOURS if channels == 3 else np.eye(channels)
        # Real and imaginary parts.
        self.values = spread * rng.standard_normal((shape[0], height, len(columns), channels, 2))

    def images(self):
        """Return the images, numbers around 0."""
        spectrum = self._scale * (self.values[..., 0] + 1j * self.values[..., 1])
        return np.fft.irfft2(spectrum, self.shape[1:3], axes=(1, 2)) @ self._colours.T

    def gradient(self, dimages):
        """Return the gradient with respect to `values`."""
        spectrum = self._adjoint * np.fft.rfft2(dimages @ self._colours, axes=(1, 2))
        return np.stack([spectrum.real, spectrum.imag], -1)


class Pixels:
    """Images as they are."""

    def __init__(self, shape, rng, spread=0.1):
        self.values = spread * rng.standard_normal(shape)

    def images(self):
        """Return the images, numbers around 0."""
        return self.values

    def gradient(self, dimages):
        """Return the gradient with respect to `values`."""
        return dimages


class Warp:
    """A bilinear warp of images about their centre; beyond the edge lie the edge's pixels."""

    def __init__(self, size, angle, scale, shift):
        height, width = size
        h, w = np.meshgrid(
            np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2, indexing="ij"
        )
        rows = (np.cos(angle) * h - np.sin(angle) * w) / scale + shift[0] + (height - 1) / 2
        columns = (np.sin(angle) * h + np.cos(angle) * w) / scale + shift[1] + (width - 1) / 2
        rows, columns = np.clip(rows, 0, height - 1).ravel(), np.clip(columns, 0, width - 1).ravel()
        top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
        bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
        down, across = rows - top, columns - left
        self._taps = [
            (top * width + left, (1 - down) * (1 - across)),
            (top * width + right, (1 - down) * across),
            (bottom * width + left, down * (1 - across)),
            (bottom * width + right, down * across),
        ]

    def __call__(self, images):
        flat = images.reshape(len(images), -1, images.shape[-1])
        return sum(flat[:, place] * share[:, None] for place, share in self._taps).reshape(images.shape)

    def gradient(self, dimages):
        """Return the gradient with respect to the images, from that of what the warp gave."""
        n, *size, channels = dimages.shape
        flat = np.moveaxis(dimages, -1, 1).reshape(n * channels, -1)
        first = flat.shape[1] * np.arange(len(flat))[:, None]  # of each map in a row of all
        places = np.concatenate([first + place for place, _ in self._taps], 1)
        shares = np.concatenate([flat * share for _, share in self._taps], 1)
        back = np.bincount(places.ravel(), shares.ravel(), flat.size)
        return np.moveaxis(back.reshape(n, channels, *size), 1, -1)


class Adam:
    """The optimizer, on an array of float64 (Kingma and Ba, https://arxiv.org/abs/1412.6980)."""

    def __init__(self, rate):
        self._rate, self._step, self._m, self._v = rate, 0, 0.0, 0.0

    def ascend(self, values, gradient):
        """Move `values` along the gradient, in place."""
        self._step += 1
        self._m = 0.9 * self._m + 0.1 * gradient
        self._v = 0.999 * self._v + 0.001 * gradient**2
        m, v = self._m / (1 - 0.9**self._step), self._v / (1 - 0.999**self._step)
        values += self._rate * m / (np.sqrt(v) + 1e-8)


def resized(images, height, width):
    """Return images (N, H, W, C) in another size: linear, over all pixels that a smaller one covers."""
    rows, columns = _weights(images.shape[1], height), _weights(images.shape[2], width)
    return np.einsum("ah,nhwc,bw->nabc", rows, images, columns, optimize=True).astype(images.dtype)


def _weights(before, after):
    """Return what each of `before` pixels counts for in each of `after`, (after, before)."""
    scale = before / after
    centres = (np.arange(after) + 0.5) * scale - 0.5
    reach = max(scale, 1.0)
    weights = np.maximum(1 - np.abs(np.arange(before) - centres[:, None]) / reach, 0)
    return weights / weights.sum(1, keepdims=True)
