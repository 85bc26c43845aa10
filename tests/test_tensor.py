import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

from pyconv import _core

DTYPES = ("float32", "uint8", "int32", "int64", "uint32", "float64")


class Foreign:
    """An array of another library, of which only DLPack is known."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **kwargs):
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class BeforeDlpack1(Foreign):
    """A producer that knows no keyword but stream."""

    def __dlpack__(self, stream=None):
        return self.array.__dlpack__(stream=stream)


class AskedForDlpack0(Foreign):
    """What a consumer from before DLPack 1.0 asks a Tensor for."""

    def __dlpack__(self, **kwargs):
        return self.array.__dlpack__()


class Owned(np.ndarray):
    """An array that can be watched through a weak reference."""


def owned(*shape):
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape).view(Owned)
    return array, weakref.ref(array)


def address(array):
    return np.asarray(array).__array_interface__["data"][0]


@pytest.mark.parametrize("dtype", DTYPES)
def test_attributes(dtype):
    tensor = _core.empty((2, 3, 4), dtype)
    assert (tensor.shape, tensor.ndim, tensor.size, tensor.dtype) == ((2, 3, 4), 3, 24, dtype)
    assert tensor.nbytes == 24 * np.dtype(dtype).itemsize
    assert (tensor.device, tensor.read_only, len(tensor)) == ("cpu", False, 2)
    assert repr(tensor) == f"Tensor(shape=(2, 3, 4), dtype={dtype}, device=cpu)"


def test_own_memory_is_aligned():
    tensors = [_core.empty((n,)) for n in (0, 1, 15, 17, 1000, 10**6)]
    assert all(address(tensor) % 64 == 0 for tensor in tensors)


def test_scalars_and_empty_shapes():
    assert _core.empty(()).size == 1
    assert _core.empty((3, 0)).nbytes == 0
    assert _core.empty((3, 0)).numpy().shape == (3, 0)
    with pytest.raises(TypeError, match=r"len\(\) of a 0-d Tensor"):
        len(_core.empty(()))
    with pytest.raises(
        TypeError, match=r"^\[Tensor\] dtype is float16, expected one of float32, uint8, int32"
    ):
        _core.empty((2,), "float16")


# ---- NumPy


@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_shares_memory_both_ways(dtype):
    array = np.arange(12).astype(dtype).reshape(3, 4)
    tensor = _core.from_numpy(array)
    assert (tensor.shape, tensor.dtype) == (array.shape, dtype)
    assert address(tensor.numpy()) == address(array)
    array[1, 2] = 99
    assert tensor.numpy()[1, 2] == 99
    tensor.numpy()[0, 0] = 77
    assert array[0, 0] == 77


def test_a_tensor_keeps_the_array_alive():
    array, alive = owned(3, 4)
    tensor = _core.from_numpy(array)
    view = tensor.reshape((12,))
    del array, tensor
    gc.collect()
    assert alive() is not None
    np.testing.assert_array_equal(view.numpy(), np.arange(12))
    del view
    gc.collect()
    assert alive() is None


def test_an_array_keeps_the_tensors_memory():
    tensor = _core.empty((1000,))
    array = tensor.numpy()
    array[:] = 5
    before = _core.memory_statistics()["allocated_bytes"]
    del tensor
    gc.collect()
    others = [_core.empty((1000,)) for _ in range(8)]
    assert all(address(other) != address(array) for other in others)
    assert (array == 5).all()
    del others, array
    gc.collect()
    assert _core.memory_statistics()["allocated_bytes"] < before


def test_memory_is_used_again():
    place = address(_core.empty((12_345,)))
    assert address(_core.empty((12_345,))) == place
    calls = _core.memory_statistics()["system_calls"]
    _core.empty((12_345,))
    assert _core.memory_statistics()["system_calls"] == calls
    _core.empty_cache()
    assert _core.memory_statistics()["cached_bytes"] == 0


@pytest.mark.parametrize("array", [np.zeros((4, 6), np.float32)[:, ::2], np.zeros((4, 6), np.float32).T])
def test_strided_arrays_are_no_tensors(array):
    with pytest.raises(ValueError, match=r"^\[Tensor\] expected a contiguous, aligned array"):
        _core.from_numpy(array)


def test_unaligned_arrays_are_no_tensors():
    array = np.zeros(13, np.uint8)[1:].view(np.float32)
    with pytest.raises(ValueError, match=r"^\[Tensor\] expected a contiguous, aligned array"):
        _core.from_numpy(array)


@pytest.mark.parametrize("dtype", ["float16", "complex64", "bool", "int8", "<U3", ">f4"])
def test_other_dtypes_are_no_tensors(dtype):
    with pytest.raises(TypeError, match=r"^\[Tensor\] dtype is .*, expected one of float32, uint8"):
        _core.from_numpy(np.zeros(3, dtype))


def test_array_protocol():
    tensor = _core.from_numpy(np.arange(3, dtype=np.float32))
    assert address(np.asarray(tensor)) == address(tensor.numpy())
    assert np.asarray(tensor, np.float64).dtype == np.float64
    assert address(np.array(tensor, copy=True)) != address(tensor.numpy())
    np.testing.assert_array_equal(np.add(tensor, 1), [1, 2, 3])


def test_array_protocol_refuses_an_impossible_no_copy():
    tensor = _core.empty((3,))
    with pytest.raises(ValueError, match="copy"):
        tensor.__array__(np.float64, copy=False)


# ---- copies


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("twin_of", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_pickles_and_copies(dtype, twin_of):
    tensor = _core.from_numpy(np.arange(6).reshape(2, 3).astype(dtype)).as_read_only()
    twin = twin_of(tensor)
    assert (twin.shape, twin.dtype, twin.device, twin.read_only) == ((2, 3), dtype, "cpu", False)
    twin.numpy()[0, 0] = 9
    np.testing.assert_array_equal(tensor.numpy(), np.arange(6).reshape(2, 3))


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_every_protocol(protocol):
    twin = pickle.loads(pickle.dumps({"a": _core.zeros((2, 3)), "b": _core.zeros(())}, protocol))
    assert [twin[key].shape for key in "ab"] == [(2, 3), ()]


def test_a_damaged_pickle():
    with pytest.raises(TypeError, match=r"^\[Tensor.__setstate__\] state is \(1,\), expected one array"):
        _core.Tensor.__new__(_core.Tensor).__setstate__((1,))


def test_a_copy_stays_on_its_device_and_a_pickle_does_not(backend):
    tensor = _core.zeros((2, 3), device=_core.default_device())
    assert copy.deepcopy(tensor).device == copy.copy(tensor).device == tensor.device
    assert pickle.loads(pickle.dumps(tensor)).device == "cpu"


# ---- read-only


def test_read_only_comes_from_and_goes_to_numpy():
    array = np.zeros(3, np.float32)
    array.setflags(write=False)
    tensor = _core.from_numpy(array)
    assert tensor.read_only
    assert not tensor.numpy().flags.writeable
    assert tensor.reshape((3, 1)).read_only


def test_as_read_only_shares_memory():
    tensor = _core.empty((3,))
    shown = tensor.as_read_only()
    assert shown.read_only
    assert not tensor.read_only
    assert address(shown.numpy()) == address(tensor.numpy())
    with pytest.raises(ValueError, match="read-only"):
        shown.numpy()[0] = 1


# ---- DLPack


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("producer", [Foreign, BeforeDlpack1])
def test_dlpack_in_without_a_copy(dtype, producer):
    array = np.arange(12).astype(dtype).reshape(3, 4)
    tensor = _core.from_dlpack(producer(array))
    assert (tensor.shape, tensor.dtype) == ((3, 4), dtype)
    assert address(tensor.numpy()) == address(array)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("consumer", [Foreign, AskedForDlpack0])
def test_dlpack_out_without_a_copy(dtype, consumer):
    tensor = _core.empty((3, 4), dtype)
    array = np.from_dlpack(consumer(tensor))
    assert (array.shape, array.dtype) == ((3, 4), np.dtype(dtype))
    assert address(array) == address(tensor.numpy())


def test_dlpack_keeps_memory_alive_both_ways():
    array, alive = owned(3, 4)
    tensor = _core.from_dlpack(Foreign(array))
    again = np.from_dlpack(tensor)
    del array, tensor
    gc.collect()
    assert alive() is not None
    np.testing.assert_array_equal(again, np.arange(12).reshape(3, 4))
    del again
    gc.collect()
    assert alive() is None


def test_an_unused_capsule_frees_what_it_holds():
    array, alive = owned(3)
    tensor = _core.from_numpy(array)
    capsules = [tensor.__dlpack__(), tensor.__dlpack__(max_version=(1, 0))]
    del array, tensor
    gc.collect()
    assert alive() is not None
    del capsules
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize("array", [np.arange(24.0).reshape(4, 6)[:, ::2], np.arange(24.0).reshape(4, 6).T])
def test_strided_dlpack_is_copied(array):
    tensor = _core.from_dlpack(Foreign(array))
    np.testing.assert_array_equal(tensor.numpy(), array)
    assert address(tensor.numpy()) != address(array)


def test_read_only_through_dlpack():
    tensor = _core.empty((3,)).as_read_only()
    array = np.from_dlpack(tensor)
    assert not array.flags.writeable
    assert _core.from_dlpack(Foreign(array)).read_only
    with pytest.raises(BufferError, match=r"^\[Tensor.__dlpack__\] the tensor is read-only"):
        np.from_dlpack(AskedForDlpack0(tensor))


def test_dlpack_copy_and_device():
    tensor = _core.empty((3,)).as_read_only()
    copied = np.from_dlpack(tensor, copy=True)
    assert address(copied) != address(tensor.numpy())
    assert tensor.__dlpack_device__() == (1, 0)
    tensor.__dlpack__(dl_device=(1, 0), max_version=(1, 0))
    with pytest.raises(BufferError, match=r"^\[Tensor.__dlpack__\] dl_device is another device"):
        tensor.__dlpack__(dl_device=(2, 0))


def test_dlpack_of_other_dtypes():
    with pytest.raises(
        TypeError, match=r"^\[from_dlpack\] dtype of DLPack code 5 with 64 bits is not supported"
    ):
        _core.from_dlpack(np.zeros(3, np.complex64))


# ---- views


def test_reshape_shares_memory():
    tensor = _core.empty((2, 3, 4))
    assert tensor.reshape((6, 4)).shape == (6, 4)
    assert tensor.reshape((2, -1)).shape == (2, 12)
    assert tensor.reshape((24,)).shape == (24,)
    assert address(tensor.reshape((24,)).numpy()) == address(tensor.numpy())
    assert _core.empty((0, 3)).reshape((3, 0)).shape == (3, 0)


@pytest.mark.parametrize("shape", [(5, 5), (5, -1), (-1, -1), (-2, -12), (0, -1)])
def test_reshape_errors(shape):
    with pytest.raises(
        ValueError, match=r"^\[Tensor.reshape\] a tensor of shape \(2, 12\) has no view of shape "
    ):
        _core.empty((2, 12)).reshape(shape)


def test_reshape_of_nothing():
    assert _core.empty((0, 3)).reshape((-1, 3)).shape == (0, 3)
    with pytest.raises(
        ValueError, match=r"^\[Tensor.reshape\] a tensor of shape \(0, 3\) has no view of shape "
    ):
        _core.empty((0, 3)).reshape((0, -1))


def test_view_of_an_arena():
    arena = _core.empty((256,), "uint8")
    arena.numpy()[:] = 0
    view = arena.view(64, (2, 3), "float32")
    view.numpy()[:] = 1
    np.testing.assert_array_equal(arena.numpy()[64:88].view(np.float32), 1)
    assert (arena.numpy()[88:] == 0).all()
    assert arena.view(256, (0,), "float32").size == 0
    del arena
    gc.collect()
    assert (view.numpy() == 1).all()


@pytest.mark.parametrize(
    ("offset", "shape"), [(0, (65,)), (4, (64,)), (256, (1,)), (260, (0,)), (2**63, (1,))]
)
def test_view_errors(offset, shape):
    with pytest.raises(ValueError, match=r"^\[Tensor.view\] \d+ bytes at \d+ do not fit 256"):
        _core.empty((256,), "uint8").view(offset, shape, "float32")


def test_negative_sizes():
    for shape in ((-1,), (-2, -3)):
        with pytest.raises(ValueError, match=r"^\[Tensor\] negative size in shape \(-"):
            _core.empty(shape)
        with pytest.raises(ValueError, match=r"^\[Tensor.view\] negative size in shape \(-"):
            _core.empty((256,), "uint8").view(0, shape, "float32")
