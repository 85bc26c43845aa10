import pytest

from pyconv import losses
from pyconv.serialization import deserialize, serialize


def test_get_by_name():
    dense, sparse = (losses.get(prefix + "categorical_crossentropy") for prefix in ("", "sparse_"))
    assert (dense.sparse, dense.from_logits, dense.label_smoothing) == (False, False, 0.0)
    assert (sparse.sparse, sparse.from_logits, sparse.label_smoothing) == (True, False, 0.0)


def test_config_round_trip():
    loss = deserialize(serialize(losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)))
    assert (loss.from_logits, loss.label_smoothing) == (True, 0.1)


def test_refuses():
    with pytest.raises(ValueError, match=r"\[CategoricalCrossentropy\] label_smoothing is 1, expected"):
        losses.CategoricalCrossentropy(label_smoothing=1)
    with pytest.raises(ValueError, match=r"\[loss\] unknown loss 'mse', expected one of categorical_cross"):
        losses.get("mse")
    with pytest.raises(ValueError, match="expected one of categorical_crossentropy"):
        losses.get(None)
