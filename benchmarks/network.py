"""The blog's network in each library: the same layers, weights, L2, optimizer and batch."""

import numpy as np

IMAGE = (32, 32, 3)
FILTERS = ((32, 32), (64, 64), (128, 128))
CHANNELS = [channels for block in FILTERS for channels in block]
SIDE = IMAGE[0] // 2 ** len(FILTERS)  # of the image that the dense layers see
DENSE = (32, 10)
L2 = 1e-4
EPSILON = 1e-3  # of batch normalisation, Keras'


def batch_of(size):
    """Return (x, y), the same in every process."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((size, *IMAGE), np.float32), rng.integers(0, 10, size).astype(np.int32)


def weights():
    """Return (convolutions, dense), the same in every process and in pyconv's layouts.

    A convolution is weight (3, 3, C_in, C_out), bias, gamma, beta, mean, variance; a dense layer is weight
    (C_in, C_out), bias, its inputs in the order h, w, c.
    """
    rng = np.random.default_rng(1)

    def kernel(*shape):
        return rng.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / np.prod(shape[:-1])))

    def vector(size, center):
        return rng.uniform(center - 0.2, center + 0.2, size).astype(np.float32)

    convolutions, dense, channels = [], [], IMAGE[2]
    for filters in CHANNELS:
        statistics = [vector(filters, center) for center in (0, 1, 0, 0, 1)]
        convolutions.append((kernel(3, 3, channels, filters), *statistics))
        channels = filters
    inputs = SIDE * SIDE * channels
    for units in DENSE:
        dense.append((kernel(inputs, units), vector(units, 0)))
        inputs = units
    return convolutions, dense


def rows_chw(weight):
    """Return the first dense layer's weight with its inputs in the order c, h, w of NCHW libraries."""
    return weight.reshape(SIDE, SIDE, CHANNELS[-1], -1).transpose(2, 0, 1, 3).reshape(len(weight), -1)


def pyconv_model(**compile_options):
    from pyconv import layers, regularizers
    from pyconv.models import Sequential

    model = Sequential()
    for block in FILTERS:
        for filters in block:
            options = {"padding": "same", "kernel_regularizer": regularizers.L2(L2), "input_shape": IMAGE}
            model.add(layers.Conv2D(filters, 3, activation="relu", **options))
            model.add(layers.BatchNormalization())
        model.add(layers.MaxPooling2D())
    model.add(layers.Flatten())
    model.add(layers.Dense(DENSE[0], activation="relu"))
    model.add(layers.Dense(DENSE[1], activation="softmax"))
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"], **compile_options)
    convolutions, dense = weights()
    model.set_weights([array for layer in convolutions + dense for array in layer])
    return model


def torch_model():
    import torch
    from torch import nn

    modules, channels = [], IMAGE[2]
    for block in FILTERS:
        for filters in block:
            modules += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU()]
            modules += [nn.BatchNorm2d(filters, eps=EPSILON, momentum=0.01)]
            channels = filters
        modules.append(nn.MaxPool2d(2))
    modules += [nn.Flatten(), nn.Linear(channels * SIDE * SIDE, DENSE[0]), nn.ReLU(), nn.Linear(*DENSE)]
    model = nn.Sequential(*modules)

    convolutions, dense = weights()
    arrays = [array for weight, *rest in convolutions for array in (weight.transpose(3, 2, 0, 1), *rest)]
    (first, bias), last = dense
    arrays += [rows_chw(first).T, bias, last[0].T, last[1]]
    targets = [t for name, t in model.state_dict().items() if not name.endswith("num_batches_tracked")]
    for target, array in zip(targets, arrays, strict=True):
        target.copy_(torch.from_numpy(array.copy()))
    return model


def torch_optimizer(model, **options):
    """Adam with Keras' epsilon; l2 * sum(w^2) is a coupled weight decay of 2 * l2, on convolutions alone."""
    import torch

    kernels = [p for p in model.parameters() if p.dim() == 4]
    others = [p for p in model.parameters() if p.dim() != 4]
    groups = [{"params": kernels, "weight_decay": 2 * L2}, {"params": others}]
    return torch.optim.Adam(groups, lr=1e-3, eps=1e-7, **options)


def onnx_model(batch):
    """Return the network as the bytes of an ONNX model: "x" (batch, 3, 32, 32) to probabilities "y"."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants = [], []

    def call(op, x, *arrays, **attributes):
        names = [f"{len(nodes)}_{i}" for i in range(len(arrays))]
        constants.extend(
            numpy_helper.from_array(np.ascontiguousarray(a), n) for a, n in zip(arrays, names, strict=True)
        )
        nodes.append(helper.make_node(op, [x, *names], [f"{op}_{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    convolutions, dense = weights()
    x = "x"
    for i, (weight, bias, *statistics) in enumerate(convolutions):
        x = call("Relu", call("Conv", x, weight.transpose(3, 2, 0, 1), bias, pads=[1, 1, 1, 1]))
        x = call("BatchNormalization", x, *statistics, epsilon=EPSILON)
        if i % 2:  # a block is two convolutions
            x = call("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    (first, bias), last = dense
    x = call("Relu", call("Gemm", call("Flatten", x), rows_chw(first), bias))
    nodes.append(helper.make_node("Softmax", [call("Gemm", x, *last)], ["y"], axis=1))

    def value(name, *shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    height, width, channels = IMAGE
    inputs, outputs = [value("x", batch, channels, height, width)], [value("y", batch, DENSE[-1])]
    graph = helper.make_graph(nodes, "blog", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()
