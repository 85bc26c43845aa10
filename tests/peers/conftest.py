import pytest


@pytest.fixture(autouse=True)
def one_torch_thread():
    """torch's threads cost more than they give on arrays this small."""
    torch = pytest.importorskip("torch")
    previous = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(previous)
