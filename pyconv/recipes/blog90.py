"""The blog's six convolutions trained to about 90%: dropout that grows by stage, gentler augmentation, decay.

After the post "Achieving 90% accuracy in object recognition task on CIFAR-10 dataset with Keras"
(appliedmachinelearning.blog, 2018-03-24): no hidden layer, dropout of 0.2, 0.3 and 0.4, rotation by up to 15
degrees, 125 epochs. Where that has ELU, RMSprop and a learning rate that falls by steps, this has ReLU, Adam
and one cycle.
"""

from dataclasses import dataclass

from pyconv import layers
from pyconv.recipes import blog
from pyconv.recipes import settings as common


@dataclass(frozen=True)
class Settings(blog.Settings):
    """The hyperparameters; `dropout` is the last stage's, the first has half of it."""

    epochs: int = 125
    dropout: float = 0.4
    rotation: float = 15.0


def network(settings=None, input_shape=(32, 32, 3), classes=10):
    """Return the network: three stages of two convolutions, each with dropout, then softmax."""
    settings = common.given(settings, Settings)
    rates = [settings.dropout * share for share in (0.5, 0.75, 1.0)]
    model = blog.stages(settings, input_shape, rates, name="blog90")
    model.add(layers.Dense(classes, activation="softmax", kernel_initializer=settings.initializer))
    return model
