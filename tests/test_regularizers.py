import numpy as np
import pytest

from pyconv import regularizers
from pyconv.serialization import deserialize, serialize


def test_penalty():
    weight = np.array([[1.0, -2.0], [0.5, 0.0]], np.float32)
    assert regularizers.L2(0.1)(weight) == pytest.approx(0.525)
    assert regularizers.l2(1e-4).l2 == 1e-4


def test_get_and_config():
    assert regularizers.get("l2").l2 == 0.01
    assert regularizers.get(None) is None
    assert deserialize(serialize(regularizers.L2(0.3))).l2 == 0.3


@pytest.mark.parametrize("strength", [-1, float("nan"), float("inf")])
def test_refuses(strength):
    with pytest.raises(ValueError, match=r"\[L2\] l2 is .*, expected a number of at least 0"):
        regularizers.L2(strength)
