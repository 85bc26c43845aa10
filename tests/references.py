"""Float64 NumPy references of every op.

Each takes arrays of any float dtype, computes in float64 and follows csrc/kernels.h. Sliding windows
are walked tap by tap, all positions at once: tap (kh, kw) reads one strided slice of the padded input.
"""

import math

import numpy as np

# ---- sliding windows


def pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)


def resolve_padding(padding, size, kernel, stride, dilation):
    """Return ((top, bottom), (left, right)); "same" gives ceil(size / stride) outputs, as Keras."""
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        sides = []
        for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
            total = max(0, (-(-n // s) - 1) * s + d * (k - 1) + 1 - n)
            sides.append((total // 2, total - total // 2))
        return tuple(sides)
    return tuple(pair(side) for side in pair(padding))


class Windows:
    """The taps of a window that slides over (H, W): what each reads of the padded input for all outputs."""

    def __init__(self, size, kernel, stride, padding, dilation, ceil_mode=False):
        self.size, self.kernel, stride, dilation = tuple(size), pair(kernel), pair(stride), pair(dilation)
        self.padding = resolve_padding(padding, self.size, self.kernel, stride, dilation)
        self.output, self.padded, starts = [], [], []
        for n, k, s, (before, after), d in zip(
            self.size, self.kernel, stride, self.padding, dilation, strict=True
        ):
            span = n + before + after - d * (k - 1) - 1
            out = (-(-span // s) if ceil_mode else span // s) + 1
            if ceil_mode and (out - 1) * s >= n + before:  # that window would start beyond the input
                out -= 1
            last = (out - 1) * s + d * (k - 1) + 1
            self.output.append(out)
            self.padded.append(max(last, n + before + after))
            starts.append([slice(i * d, i * d + (out - 1) * s + 1, s) for i in range(k)])
        self.taps = [(slice(None), rows, columns) for rows in starts[0] for columns in starts[1]]

    def inside(self):
        """Return the slice of the padded input that is the input."""
        return (slice(None), *(slice(p[0], p[0] + n) for n, p in zip(self.size, self.padding, strict=True)))

    def pad(self, x, value=0.0):
        padded = np.full((x.shape[0], *self.padded, x.shape[3]), value)
        padded[self.inside()] = x
        return padded


def conv2d(x, weight, bias=None, *, stride=1, padding=0, dilation=1, groups=1):
    windows = Windows(x.shape[1:3], weight.shape[:2], stride, padding, dilation)
    padded = windows.pad(x)
    taps = _taps_of_groups(weight, groups)
    y = np.zeros((x.shape[0], *windows.output, groups, weight.shape[3] // groups))
    for tap, w in zip(windows.taps, taps, strict=True):
        y += np.einsum("nhwgi,gio->nhwgo", _split(padded[tap], groups), w, optimize=True)
    return y.reshape(*y.shape[:3], weight.shape[3]) + (0 if bias is None else bias.astype(np.float64))


def conv2d_backward_input(dy, weight, x_shape, *, stride=1, padding=0, dilation=1, groups=1):
    windows = Windows(x_shape[1:3], weight.shape[:2], stride, padding, dilation)
    dx = windows.pad(np.zeros(x_shape))
    for tap, w in zip(windows.taps, _taps_of_groups(weight, groups), strict=True):
        part = np.einsum("nhwgo,gio->nhwgi", _split(dy, groups), w, optimize=True)
        dx[tap] += part.reshape(*part.shape[:3], x_shape[3])
    return dx[windows.inside()]


def conv2d_backward_weight(dy, x, weight_shape, *, stride=1, padding=0, dilation=1, groups=1):
    windows = Windows(x.shape[1:3], weight_shape[:2], stride, padding, dilation)
    padded = windows.pad(x)
    parts = [
        np.einsum("nhwgi,nhwgo->igo", _split(padded[tap], groups), _split(dy, groups), optimize=True)
        for tap in windows.taps
    ]
    return np.reshape(parts, weight_shape), dy.sum((0, 1, 2), dtype=np.float64)


def _split(x, groups):
    return x.reshape(*x.shape[:3], groups, x.shape[3] // groups).astype(np.float64)


def _taps_of_groups(weight, groups):
    """Weight (KH, KW, C_in / groups, C_out) as (KH * KW, groups, C_in / groups, C_out / groups)."""
    KH, KW, c_in, C_out = weight.shape
    return weight.astype(np.float64).reshape(KH * KW, c_in, groups, C_out // groups).swapaxes(1, 2)


def max_pool2d(x, window, *, stride=None, padding=0, dilation=1, ceil_mode=False):
    """Return (y, argmax); argmax as int64. The first maximum of a window wins, a NaN before all."""
    windows = Windows(
        x.shape[1:3], window, window if stride is None else stride, padding, dilation, ceil_mode
    )
    values = np.array([windows.pad(x, -np.inf)[tap] for tap in windows.taps])
    valid = np.array([windows.pad(np.ones_like(x))[tap] for tap in windows.taps]) > 0
    y = values.max(0)
    return y, (valid & ((values == y) | (np.isnan(values) & np.isnan(y)))).argmax(0)


def max_pool2d_backward(dy, argmax, x_shape, window, *, stride=None, padding=0, dilation=1, ceil_mode=False):
    windows = Windows(
        x_shape[1:3], window, window if stride is None else stride, padding, dilation, ceil_mode
    )
    dx = windows.pad(np.zeros(x_shape))
    for i, tap in enumerate(windows.taps):
        dx[tap] += np.where(argmax == i, dy, 0)
    return dx[windows.inside()]


def _avg_pool2d_windows(x_shape, window, stride, padding, ceil_mode, count_include_pad):
    """Return the windows and their divisors: what each covers of the padded input, or of the input."""
    windows = Windows(x_shape[1:3], window, window if stride is None else stride, padding, 1, ceil_mode)
    counted = windows.pad(np.ones((1, *windows.size, 1)))
    if count_include_pad:
        rows, columns = (sum(p) + n for p, n in zip(windows.padding, windows.size, strict=True))
        counted[:, :rows, :columns] = 1
    return windows, np.sum([counted[tap] for tap in windows.taps], axis=0)


def avg_pool2d(x, window, *, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    windows, divisor = _avg_pool2d_windows(x.shape, window, stride, padding, ceil_mode, count_include_pad)
    padded = windows.pad(x)
    return np.sum([padded[tap] for tap in windows.taps], axis=0) / np.maximum(divisor, 1)


def avg_pool2d_backward(
    dy, x_shape, window, *, stride=None, padding=0, ceil_mode=False, count_include_pad=True
):
    windows, divisor = _avg_pool2d_windows(x_shape, window, stride, padding, ceil_mode, count_include_pad)
    dx = windows.pad(np.zeros(x_shape))
    for tap in windows.taps:
        dx[tap] += dy / np.maximum(divisor, 1)
    return dx[windows.inside()]


# ---- activations


def gelu(x, approximate=False):
    return x * _gelu_weight(np.asarray(x, np.float64), approximate)[0]


def gelu_backward(dy, x, approximate=False):
    weight, slope = _gelu_weight(np.asarray(x, np.float64), approximate)
    return dy * (weight + x * slope)


def _gelu_weight(x, approximate):
    """Return what x is multiplied by, and its derivative."""
    if approximate:
        u, du = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3), np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2)
        e = np.exp(-2 * np.abs(u))  # 1 + tanh(u) without cancellation where u is far below 0
        return np.where(u < 0, e, 1) / (1 + e), 2 * e / (1 + e) ** 2 * du
    weight = [0.5 * math.erfc(-v / math.sqrt(2)) for v in x.flat]
    return np.reshape(weight, x.shape), np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)


# ---- the rest: rows of channels, rows of classes, elements


def batch_norm(x, gamma=None, beta=None, *, epsilon=1e-3):
    """Return (y, mean, variance) over all axes but the last; variance is biased."""
    rows = x.reshape(-1, x.shape[-1]).astype(np.float64)
    mean, variance = rows.mean(0), rows.var(0)
    return batch_norm_inference(x, gamma, beta, mean, variance, epsilon=epsilon), mean, variance


def batch_norm_inference(x, gamma, beta, mean, variance, *, epsilon=1e-3):
    y = (x.astype(np.float64) - mean) / np.sqrt(variance.astype(np.float64) + epsilon)
    return y * (1 if gamma is None else gamma) + (0 if beta is None else beta)


def batch_norm_backward(dy, x, gamma=None, *, epsilon=1e-3):
    """Return (dx, dgamma, dbeta), the gradients through mean and variance included."""
    y, _, variance = batch_norm(x, epsilon=epsilon)
    dy, y = dy.reshape(-1, x.shape[-1]).astype(np.float64), y.reshape(-1, x.shape[-1])
    scale = (1 if gamma is None else gamma) / np.sqrt(variance + epsilon)
    dx = scale * (dy - dy.mean(0) - y * (dy * y).mean(0))
    return dx.reshape(x.shape), (dy * y).sum(0), dy.sum(0)


def softmax(x):
    shifted = np.exp(x - x.max(1, keepdims=True).astype(np.float64))
    return shifted / shifted.sum(1, keepdims=True)


def softmax_backward(dy, y):
    y = y.astype(np.float64)
    return y * (dy - (dy * y).sum(1, keepdims=True))


def targets_of(target, K, label_smoothing=0.0):
    """Labels (N,) or targets (N, K) as smoothed targets (N, K)."""
    target = np.eye(K)[target] if target.ndim == 1 else target.astype(np.float64)
    return (1 - label_smoothing) * target + label_smoothing / K


def softmax_cross_entropy(logits, target, *, label_smoothing=0.0, gradient_scale=None):
    """Return (loss (N,), dlogits)."""
    N, K = logits.shape
    target = targets_of(target, K, label_smoothing)
    shifted = logits - logits.max(1, keepdims=True).astype(np.float64)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    loss = -np.multiply(target, log_p, where=target != 0, out=np.zeros((N, K))).sum(1)
    return loss, (1 / max(N, 1) if gradient_scale is None else gradient_scale) * (np.exp(log_p) - target)


def cross_entropy(x, target, *, label_smoothing=0.0):
    x = np.maximum(x.astype(np.float64), np.finfo(np.float32).tiny)
    return -(targets_of(target, x.shape[1], label_smoothing) * np.log(x / x.sum(1, keepdims=True))).sum(1)


def cross_entropy_backward(dloss, x, target, *, label_smoothing=0.0):
    x = np.maximum(x.astype(np.float64), np.finfo(np.float32).tiny)
    target = targets_of(target, x.shape[1], label_smoothing)
    return dloss[:, None] * (target.sum(1, keepdims=True) / x.sum(1, keepdims=True) - target / x)


def linear(x, weight, bias=None):
    return x.astype(np.float64) @ weight + (0 if bias is None else bias)


def linear_backward(dy, x, weight):
    """Return (dx, dweight, dbias)."""
    dy = dy.astype(np.float64)
    return dy @ weight.T, x.T @ dy, dy.sum(0)


def adam(dweight, weight, m, v, *, alpha, beta_1, beta_2, epsilon, l2=0.0):
    """Return (weight, m, v) after one step."""
    g = dweight + 2 * l2 * weight.astype(np.float64)
    m = beta_1 * m.astype(np.float64) + (1 - beta_1) * g
    v = beta_2 * v.astype(np.float64) + (1 - beta_2) * g * g
    return weight - alpha * m / (np.sqrt(v) + epsilon), m, v


def sgd(dweight, weight, velocity, *, learning_rate, momentum=0.0, nesterov=False, l2=0.0):
    """Return (weight, velocity) after one step."""
    step = learning_rate * (dweight + 2 * l2 * weight.astype(np.float64))
    velocity = momentum * velocity.astype(np.float64) - step
    return weight + (momentum * velocity - step if nesterov else velocity), velocity


def philox(c0, c1, c2, c3, k0, k1):
    """Philox4x32-10: one block of four words, for integers or arrays of them."""
    c0, c1, c2, c3 = (np.asarray(c).astype(np.uint64) for c in (c0, c1, c2, c3))
    low = np.uint64(2**32 - 1)
    for i in range(10):
        keys = [np.uint64((k + i * bump) % 2**32) for k, bump in ((k0, 0x9E3779B9), (k1, 0xBB67AE85))]
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (
            (p1 >> np.uint64(32)) ^ c1 ^ keys[0],
            p1 & low,
            (p0 >> np.uint64(32)) ^ c3 ^ keys[1],
            p0 & low,
        )
    return np.stack([c0, c1, c2, c3], -1).astype(np.uint32)


def dropout_mask(size, rate, *, seed, purpose, epoch, step):
    """Return which elements stay: those whose uniform number is at least `rate`."""
    words = philox(np.arange(-(-size // 4)), purpose, epoch, step, seed % 2**32, seed >> 32)
    return ((words.reshape(-1)[:size] >> 8) * 2.0**-24 >= np.float32(rate)).astype(bool)


def affine(source, matrix, *, fill_mode="nearest", fill_value=0.0):
    """Warp source (N, H, W, C) by matrix (N, 6): bilinear, each of the four pixels bordered on its own."""
    N, H, W, _ = source.shape
    m = matrix.astype(np.float64)[:, :, None, None]
    h, w = np.mgrid[:H, :W]
    row, column = m[:, 0] * h + m[:, 1] * w + m[:, 2], m[:, 3] * h + m[:, 4] * w + m[:, 5]
    top, left = np.floor(row), np.floor(column)
    y = np.zeros(source.shape)
    for dr, dc in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = np.abs(1 - dr - (row - top)) * np.abs(1 - dc - (column - left))
        r, r_inside = _border(top + dr, H, fill_mode)
        c, c_inside = _border(left + dc, W, fill_mode)
        pixel = source[np.arange(N)[:, None, None], r, c].astype(np.float64)
        y += weight[..., None] * np.where((r_inside & c_inside)[..., None], pixel, fill_value)
    return y


def _border(index, size, fill_mode):
    """Return the pixel that stands for each index, and whether it is a pixel at all (else the fill value)."""
    index = index.astype(np.int64)
    inside = (index >= 0) & (index < size)
    if fill_mode == "reflect":
        index = index % (2 * size)
        return np.minimum(index, 2 * size - 1 - index), np.ones_like(inside)
    return np.clip(index, 0, size - 1), inside | (fill_mode == "nearest")


def random_affine_matrix(words, *, height, width, rotation_range=0.0, height_shift_range=0.0,
                         width_shift_range=0.0, horizontal_flip=False, vertical_flip=False):  # fmt: skip
    """Return Keras' transform as (6,) for the four Philox words of one example."""
    u = 2 * ((np.asarray(words) >> 8) * 2.0**-24) - 1
    angle, flips = np.deg2rad(rotation_range * u[0]), int(words[3])
    rotate = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    shift = np.eye(3)
    shift[:2, 2] = height_shift_range * height * u[1], width_shift_range * width * u[2]
    centre = np.eye(3)
    centre[:2, 2] = (height - 1) / 2, (width - 1) / 2
    flip = np.eye(3)
    if vertical_flip and flips >> 30 & 1:
        flip[0] = -1, 0, height - 1
    if horizontal_flip and flips >> 31 & 1:
        flip[1] = 0, -1, width - 1
    return (centre @ rotate @ shift @ np.linalg.inv(centre) @ flip)[:2].reshape(6)
