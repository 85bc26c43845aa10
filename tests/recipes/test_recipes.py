import dataclasses

import pytest

from pyconv import layers, optimizers, recipes, schedules
from pyconv.recipes import blog, blog90, shapes
from pyconv.recipes.settings import Settings, described, make_augmentation, make_optimizer


def test_blog_is_the_posts_network():
    model = blog.network()
    kinds = [type(layer) for layer in model.layers]
    block = [layers.Conv2D, layers.Activation, layers.BatchNormalization]
    stage = [*block, *block, layers.MaxPooling2D]
    assert kinds == [layers.Normalization, *stage, *stage, *stage, layers.Flatten, layers.Dense, layers.Dense]
    convolutions = [layer for layer in model.layers if isinstance(layer, layers.Conv2D)]
    assert [layer.filters for layer in convolutions] == [32, 32, 64, 64, 128, 128]
    for layer in convolutions:
        kernel, bias = layer.parameters
        assert kernel.shape[:2] == (3, 3)
        assert (kernel.l2, bias.l2) == (1e-4, 0.0)
    assert [layer.units for layer in model.layers[-2:]] == [32, 10]
    assert model.output_shape == (10,)
    assert sum(p.size for p in model.trainable_parameters) == 287_008 + 896 + 65_568 + 330


def test_blog_settings():
    settings = blog.Settings()
    assert (settings.dataset, settings.epochs, settings.batch_size) == ("cifar10", 64, 128)
    adam = make_optimizer(settings, 100)
    assert isinstance(adam, optimizers.Adam)
    assert isinstance(adam._learning_rate, schedules.OneCycle)
    assert adam._learning_rate.total_steps == 6400
    literal = make_optimizer(blog.Settings(schedule="constant", learning_rate=1e-3), 100)
    assert literal.learning_rate == 1e-3
    augmentation = make_augmentation(settings)
    assert augmentation.ranges == {
        "rotation_range": 45.0,
        "width_shift_range": 0.1,
        "height_shift_range": 0.1,
        "horizontal_flip": True,
        "vertical_flip": False,
    }
    assert augmentation.border["fill_mode"] == "nearest"


def test_blog90_has_the_blogs_convolutions_and_dropout_that_grows():
    model = blog90.network()
    kinds = [type(layer) for layer in model.layers]
    block = [layers.Conv2D, layers.Activation, layers.BatchNormalization]
    stage = [*block, *block, layers.MaxPooling2D, layers.Dropout]
    assert kinds == [layers.Normalization, *stage, *stage, *stage, layers.Flatten, layers.Dense]
    assert rates(model) == pytest.approx([0.2, 0.3, 0.4])
    assert [one.filters for one in model.layers if isinstance(one, layers.Conv2D)] == [
        32,
        32,
        64,
        64,
        128,
        128,
    ]
    assert blog90.Settings().epochs <= 125


def rates(model):
    return [layer.rate for layer in model.layers if isinstance(layer, layers.Dropout)]


@pytest.mark.parametrize(
    ("recipe", "dropout"), [(blog, [0.2] * 3), (blog90, [0.1, 0.15, 0.2]), (shapes, [0.2])], ids=str
)
def test_settings_change_the_network(recipe, dropout):
    settings = dataclasses.replace(recipe.Settings(), dropout=0.2, l2=0.0, seed=3)
    model = recipe.network(settings)
    assert model.seed == 3
    assert rates(model) == pytest.approx(dropout)
    assert not any(p.l2 for p in model.parameters)
    assert not rates(recipe.network(dataclasses.replace(settings, dropout=0.0)))


@pytest.mark.parametrize("recipe", [blog, blog90])
def test_order_and_initial_weights(recipe):
    settings = recipe.Settings(order="bn-relu", initializer="he_normal")
    model = recipe.network(settings)
    kinds = [type(layer) for layer in model.layers]
    assert kinds[1:4] == [layers.Conv2D, layers.BatchNormalization, layers.Activation]
    drawn = {
        type(layer.kernel_initializer).__name__
        for layer in model.layers
        if isinstance(layer, (layers.Conv2D, layers.Dense))
    }
    assert drawn == {"HeNormal"}


def test_a_recipes_own_default_keeps_the_settings_text():
    assert described(shapes.Settings)["epochs"].metadata["help"] == "passes over the training set"
    assert "order" in described(blog90.Settings)
    assert "order" not in described(shapes.Settings)
    with pytest.raises(ValueError, match=r"\[settings\] dataset is 'mnist', expected one of cifar10, shapes"):
        shapes.Settings(dataset="mnist")
    with pytest.raises(ValueError, match=r"\[settings\] order is 'bn', expected one of relu-bn, bn-relu"):
        blog.Settings(order="bn")
    with pytest.raises(TypeError, match=r"\[recipes\] settings is .*, expected blog.Settings or None"):
        blog.network(shapes.Settings())


def test_optimizers_and_schedules():
    def rate(step, **changes):
        optimizer = make_optimizer(Settings(epochs=10, learning_rate=1.0, **changes), 10)
        optimizer.iterations = step
        return optimizer.learning_rate

    assert rate(99) == 1
    assert [rate(step, schedule="step") for step in (0, 60, 80)] == [1.0, 0.1, 0.01]
    assert rate(50, schedule="cosine") == pytest.approx(0.5)
    assert rate(29, schedule="one-cycle") == pytest.approx(1.0)
    assert [rate(step, warmup_epochs=1) for step in (0, 4, 50)] == pytest.approx([0.1, 0.5, 1.0])
    sgd = make_optimizer(Settings(optimizer="sgd", schedule="cosine"), 10)
    assert (type(sgd), sgd.momentum, sgd.nesterov) == (optimizers.SGD, 0.9, True)
    assert isinstance(sgd._learning_rate, schedules.CosineDecay)
    assert make_optimizer(Settings(optimizer="sgd", momentum=0.0), 10).nesterov is False
    assert make_augmentation(Settings(augment=False)) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, r"\[settings\] epochs is 0, expected at least 1"),
        ({"optimizer": "lion"}, r"\[settings\] optimizer is 'lion', expected one of adam, sgd"),
        ({"schedule": "linear"}, r"\[settings\] schedule is 'linear', expected one of constant"),
        ({"seed": -1}, r"\[settings\] seed is -1, expected an integer"),
    ],
)
def test_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        Settings(**changes)


def test_get():
    assert recipes.get("blog") is blog
    with pytest.raises(
        ValueError, match=r"\[recipes\] unknown recipe 'os', expected one of blog, blog90, shapes"
    ):
        recipes.get("os")
