"""Named shapes of convolutions and poolings, shared by tests and benchmarks."""

from typing import NamedTuple


class Conv2dCase(NamedTuple):
    """x (N, H, W, C_in), weight (KH, KW, C_in / groups, C_out) and how they meet."""

    x: tuple
    weight: tuple
    stride: int | tuple = 1
    padding: int | tuple | str = 0
    dilation: int | tuple = 1
    groups: int = 1

    @property
    def attributes(self):
        return {name: getattr(self, name) for name in ("stride", "padding", "dilation", "groups")}


class Pool2dCase(NamedTuple):
    """x (N, H, W, C) and the window (KH, KW) that slides over it."""

    x: tuple
    window: int | tuple
    stride: int | tuple | None = None
    padding: int | tuple | str = 0
    dilation: int | tuple = 1
    ceil_mode: bool = False

    @property
    def attributes(self):
        return {name: getattr(self, name) for name in ("stride", "padding", "dilation", "ceil_mode")}


# The blog recipe's layers, one image each: benchmarks set the batch.
NETWORK_CONV2D = {
    "blog1": Conv2dCase((1, 32, 32, 3), (3, 3, 3, 32), padding="same"),
    "blog2": Conv2dCase((1, 32, 32, 32), (3, 3, 32, 32), padding="same"),
    "blog3": Conv2dCase((1, 16, 16, 32), (3, 3, 32, 64), padding="same"),
    "blog4": Conv2dCase((1, 16, 16, 64), (3, 3, 64, 64), padding="same"),
    "blog5": Conv2dCase((1, 8, 8, 64), (3, 3, 64, 128), padding="same"),
    "blog6": Conv2dCase((1, 8, 8, 128), (3, 3, 128, 128), padding="same"),
}

AWKWARD_CONV2D = {
    "one_pixel": Conv2dCase((1, 1, 1, 1), (1, 1, 1, 1)),
    "pointwise": Conv2dCase((2, 5, 7, 17), (1, 1, 17, 33)),
    "pointwise_stride": Conv2dCase((2, 6, 5, 3), (1, 1, 3, 5), stride=3),
    "odd_sizes": Conv2dCase((1, 9, 7, 3), (3, 3, 3, 5), padding=1),
    "channels_33_17": Conv2dCase((2, 6, 5, 33), (3, 3, 33, 17), padding=1),
    "one_channel": Conv2dCase((3, 8, 8, 1), (3, 3, 1, 1)),
    "many_pixels": Conv2dCase((4, 47, 45, 3), (3, 3, 3, 17), padding=1),
    "wide_row": Conv2dCase((1, 3, 67, 5), (3, 3, 5, 16), padding="same"),
    "kernel_is_input": Conv2dCase((2, 4, 6, 5), (4, 6, 5, 3)),
    "stride_over_kernel": Conv2dCase((2, 11, 10, 5), (2, 2, 5, 3), stride=(4, 3)),
    "stride_over_image": Conv2dCase((2, 1, 2, 5), (2, 2, 5, 3), stride=3, padding=1),
    "same_stride_2": Conv2dCase((2, 8, 9, 3), (3, 3, 3, 17), stride=2, padding="same"),
    "asymmetric_padding": Conv2dCase((2, 5, 6, 5), (3, 3, 5, 3), padding=((0, 2), (3, 1))),
    "padding_over_kernel": Conv2dCase((1, 3, 4, 3), (2, 2, 3, 5), padding=4),
    "kernel_5x3": Conv2dCase((2, 9, 8, 3), (5, 3, 3, 17), stride=(1, 2), padding=(2, 1)),
    "kernel_1x7": Conv2dCase((1, 4, 12, 5), (1, 7, 5, 3), padding=(0, 3)),
    "kernel_9x9": Conv2dCase((1, 12, 13, 3), (9, 9, 3, 5), padding="same"),
    "kernel_11x11": Conv2dCase((1, 23, 21, 3), (11, 11, 3, 5), stride=4, padding=2),
    "dilation": Conv2dCase((2, 10, 9, 3), (3, 3, 3, 5), padding="same", dilation=2),
    "dilation_stride": Conv2dCase((1, 13, 12, 5), (3, 2, 5, 3), stride=(2, 1), padding=1, dilation=(2, 3)),
    "groups": Conv2dCase((2, 6, 7, 6), (3, 3, 2, 9), padding=1, groups=3),
    "groups_wide": Conv2dCase((1, 5, 5, 34), (3, 3, 17, 40), groups=2),
    "depthwise": Conv2dCase((2, 7, 6, 17), (3, 3, 1, 17), padding=1, groups=17),
    "depthwise_vectors": Conv2dCase((2, 5, 7, 36), (3, 3, 1, 36), stride=2, padding=1, groups=36),
    "depthwise_stride": Conv2dCase((1, 9, 9, 33), (5, 5, 1, 33), stride=2, padding="same", groups=33),
    "depthwise_multiplier": Conv2dCase((2, 6, 6, 5), (3, 3, 1, 15), dilation=2, groups=5),
    "empty_batch": Conv2dCase((0, 5, 5, 3), (3, 3, 3, 5), padding=1),
}

CONV2D_CASES = AWKWARD_CONV2D | NETWORK_CONV2D


def _layer(size, C_in, C_out, *, kernel=3, stride=1, groups=1):
    """A layer on one square image, padded as PyTorch's models do: half the kernel on each side."""
    weight = (kernel, kernel, C_in // groups, C_out)
    return Conv2dCase((1, size, size, C_in), weight, stride, padding=kernel // 2, groups=groups)


# For benchmarks, which set the batch: too large for the tests that go through all cases.
RESNET18_CONV2D = {
    "resnet_stem": _layer(224, 3, 64, kernel=7, stride=2),
    "resnet_56": _layer(56, 64, 64),
    "resnet_56_stride2": _layer(56, 64, 128, stride=2),
    "resnet_56_downsample": _layer(56, 64, 128, kernel=1, stride=2),
    "resnet_28": _layer(28, 128, 128),
    "resnet_28_stride2": _layer(28, 128, 256, stride=2),
    "resnet_28_downsample": _layer(28, 128, 256, kernel=1, stride=2),
    "resnet_14": _layer(14, 256, 256),
    "resnet_14_stride2": _layer(14, 256, 512, stride=2),
    "resnet_14_downsample": _layer(14, 256, 512, kernel=1, stride=2),
    "resnet_7": _layer(7, 512, 512),
}

MOBILENET_CONV2D = {
    "mobilenet_stem": _layer(224, 3, 32, stride=2),
    "mobilenet_depthwise_112": _layer(112, 32, 32, groups=32),
    "mobilenet_pointwise_112": _layer(112, 32, 64, kernel=1),
    "mobilenet_depthwise_112_stride2": _layer(112, 64, 64, stride=2, groups=64),
    "mobilenet_pointwise_56": _layer(56, 64, 128, kernel=1),
    "mobilenet_depthwise_56": _layer(56, 128, 128, groups=128),
    "mobilenet_depthwise_56_stride2": _layer(56, 128, 128, stride=2, groups=128),
    "mobilenet_pointwise_28": _layer(28, 256, 256, kernel=1),
    "mobilenet_depthwise_28": _layer(28, 256, 256, groups=256),
    "mobilenet_depthwise_28_stride2": _layer(28, 256, 256, stride=2, groups=256),
    "mobilenet_pointwise_14": _layer(14, 512, 512, kernel=1),
    "mobilenet_depthwise_14": _layer(14, 512, 512, groups=512),
    "mobilenet_depthwise_14_stride2": _layer(14, 512, 512, stride=2, groups=512),
    "mobilenet_depthwise_7": _layer(7, 1024, 1024, groups=1024),
    "mobilenet_pointwise_7": _layer(7, 1024, 1024, kernel=1),
}

IMAGENET_CONV2D = RESNET18_CONV2D | MOBILENET_CONV2D

NETWORK_POOL2D = {
    "blog1": Pool2dCase((1, 32, 32, 32), 2),
    "blog2": Pool2dCase((1, 16, 16, 64), 2),
    "blog3": Pool2dCase((1, 8, 8, 128), 2),
}

AWKWARD_POOL2D = {
    "one_pixel": Pool2dCase((1, 1, 1, 1), 1),
    "remainder_dropped": Pool2dCase((2, 5, 7, 3), 2),
    "overlapping": Pool2dCase((2, 9, 8, 17), 3, stride=2, padding=1),
    "stride_over_window": Pool2dCase((1, 11, 10, 5), 2, stride=(4, 3)),
    "same_stride_2": Pool2dCase((2, 8, 9, 33), 3, stride=2, padding="same"),
    "asymmetric_padding": Pool2dCase((2, 5, 6, 3), (2, 3), stride=1, padding=((0, 1), (2, 1))),
    "window_5x3": Pool2dCase((2, 9, 8, 5), (5, 3), stride=(1, 2), padding=(2, 1)),
    "window_1x7": Pool2dCase((1, 4, 12, 1), (1, 7), stride=1, padding=(0, 3)),
    "window_is_input": Pool2dCase((3, 6, 5, 17), (6, 5)),
    "window_16x16": Pool2dCase((1, 18, 17, 3), 16, stride=1),
    "window_17x17": Pool2dCase((1, 19, 18, 3), 17, stride=1, padding=1),
    "ceil_mode": Pool2dCase((2, 6, 7, 5), 3, stride=2, ceil_mode=True),
    "ceil_mode_padding": Pool2dCase((2, 5, 8, 3), 3, stride=3, padding=1, ceil_mode=True),
    "ceil_mode_below_the_window": Pool2dCase((2, 2, 2, 5), 3, stride=2, ceil_mode=True),
    "ceil_mode_below_the_window_padding": Pool2dCase(
        (1, 3, 2, 3), (6, 7), stride=(2, 4), padding=1, ceil_mode=True
    ),
    "empty_batch": Pool2dCase((0, 6, 6, 3), 2),
}

# Average pooling has no dilation.
DILATED_POOL2D = {
    "dilation": Pool2dCase((2, 9, 8, 5), 3, stride=2, padding=1, dilation=2),
    "dilation_ceil_mode": Pool2dCase((1, 10, 11, 3), (2, 3), stride=3, dilation=(3, 2), ceil_mode=True),
    "dilation_ceil_mode_below_the_window": Pool2dCase(
        (2, 4, 5, 3), (3, 2), stride=3, dilation=(2, 5), ceil_mode=True
    ),
    "only_padding": Pool2dCase((1, 2, 2, 3), 2, stride=1, padding=3, dilation=2),
}

POOL2D_CASES = AWKWARD_POOL2D | NETWORK_POOL2D
