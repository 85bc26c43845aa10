"""The blog's network in pyconv and in PyTorch: the same layers, L2 and optimizer."""

IMAGE = (32, 32, 3)
FILTERS = ((32, 32), (64, 64), (128, 128))
L2 = 1e-4


def pyconv_model():
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
    model.add(layers.Dense(32, activation="relu"))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    return model


def torch_model():
    from torch import nn

    modules, channels = [], IMAGE[2]
    for block in FILTERS:
        for filters in block:
            modules += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU()]
            modules += [nn.BatchNorm2d(filters, eps=1e-3, momentum=0.01)]
            channels = filters
        modules.append(nn.MaxPool2d(2))
    modules += [nn.Flatten(), nn.Linear(channels * 16, 32), nn.ReLU(), nn.Linear(32, 10)]
    return nn.Sequential(*modules)


def torch_optimizer(model):
    """Adam with Keras' epsilon; l2 * sum(w^2) is a coupled weight decay of 2 * l2, on convolutions alone."""
    import torch

    kernels = [p for p in model.parameters() if p.dim() == 4]
    others = [p for p in model.parameters() if p.dim() != 4]
    groups = [{"params": kernels, "weight_decay": 2 * L2}, {"params": others}]
    return torch.optim.Adam(groups, lr=1e-3, eps=1e-7)
