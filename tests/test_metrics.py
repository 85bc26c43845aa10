import pytest

from pyconv import metrics


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (None, ()),
        ([], ()),
        ("accuracy", ("accuracy",)),
        (["acc"], ("acc",)),
        (
            ("accuracy", "sparse_categorical_accuracy", "accuracy"),
            ("accuracy", "sparse_categorical_accuracy"),
        ),
    ],
)
def test_resolve(given, names):
    assert metrics.resolve(given) == names


def test_refuses():
    with pytest.raises(ValueError, match=r"\[metrics\] unknown metric 'AUC', expected one of accuracy, acc"):
        metrics.resolve(["accuracy", "AUC"])
