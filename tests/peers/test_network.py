"""A whole training beside PyTorch in float64: the same losses step by step, L2 and Adam included."""

import numpy as np
import pytest

from pyconv import layers, optimizers
from pyconv.models import Sequential
from pyconv.regularizers import l2

torch = pytest.importorskip("torch")

L2 = 1e-3


def ours():
    return Sequential(
        [
            layers.Conv2D(8, 3, padding="same", kernel_regularizer=l2(L2), input_shape=(12, 12, 3)),
            layers.ReLU(),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Conv2D(12, 3, padding="same", kernel_regularizer=l2(L2)),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10, activation="relu"),
            layers.Dense(5, activation="softmax"),
        ]
    )


def theirs(weights):
    nn = torch.nn
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.BatchNorm2d(8, eps=1e-3, momentum=0.01),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3, padding=1),
        nn.BatchNorm2d(12, eps=1e-3, momentum=0.01),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 10),
        nn.ReLU(),
        nn.Linear(10, 5),
    ).double()
    weights = iter(weights)
    with torch.no_grad():
        for module in model:
            if isinstance(module, nn.Conv2d):
                module.weight.copy_(torch.from_numpy(next(weights).transpose(3, 2, 0, 1)))
                module.bias.copy_(torch.from_numpy(next(weights)))
            elif isinstance(module, nn.BatchNorm2d):
                for target in (module.weight, module.bias, module.running_mean, module.running_var):
                    target.copy_(torch.from_numpy(next(weights)))
            elif isinstance(module, nn.Linear):
                module.weight.copy_(torch.from_numpy(next(weights).T))
                module.bias.copy_(torch.from_numpy(next(weights)))
    return model


@pytest.mark.parametrize("name", ["adam", "nesterov"])
def test_losses_step_by_step(backend, rng, name):
    x = rng.standard_normal((16, 12, 12, 3)).astype(np.float32)
    y = rng.integers(0, 5, 16)
    model = ours()
    optimizer = optimizers.Adam(1e-3) if name == "adam" else optimizers.SGD(0.02, 0.9, nesterov=True)
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])

    peer = theirs(model.get_weights())
    kernels = [p for p in peer.parameters() if p.dim() == 4]
    if name == "adam":
        peer_optimizer = torch.optim.Adam(peer.parameters(), lr=1e-3, eps=1e-12)
    else:
        peer_optimizer = torch.optim.SGD(peer.parameters(), lr=0.02, momentum=0.9, nesterov=True)
    images, labels = torch.from_numpy(x.transpose(0, 3, 1, 2)).double(), torch.from_numpy(y)
    for _ in range(8):
        scores = peer(images)
        loss = torch.nn.functional.cross_entropy(scores, labels)
        penalised = loss + L2 * sum(k.square().sum() for k in kernels)
        peer_optimizer.zero_grad()
        penalised.backward()
        peer_optimizer.step()
        logs = model.train_on_batch(x, y, return_dict=True)
        assert logs["data_loss"] == pytest.approx(loss.item(), rel=2e-4)
        assert logs["loss"] == pytest.approx(penalised.item(), rel=2e-4)

    probabilities = torch.softmax(peer.eval()(images), 1).detach().numpy()
    tolerance = 2e-2 if name == "adam" else 2e-3  # Adam's early steps follow the signs of tiny gradients
    np.testing.assert_allclose(model.predict(x), probabilities, atol=tolerance)
