// Tensors from and to other libraries: DLPack capsules, and CUDA's array interface.
#include "dlpack.h"

#include <pybind11/numpy.h>

#include <cstring>

#include "gil.h"
#include "tensor.h"

namespace pyconv {

namespace {

int32_t device_type(const Tensor& tensor) {
  return tensor.functions() ? dlpack::kCuda : dlpack::kCpu;
}

// Others read a device's memory on streams of their own: all work on it is done first.
void wait_for_device(const Tensor& tensor) {
  if (!tensor.functions()) return;
  const GilRelease release;
  if (const Status status = tensor.functions()->synchronize(); status.message)
    throw std::runtime_error("[Tensor] " + std::string(status.message));
}

}  // namespace

py::tuple dlpack_device_of(const Tensor& tensor) {
  return py::make_tuple(device_type(tensor), 0);
}

// https://numba.readthedocs.io/en/stable/cuda/cuda_array_interface.html, version 3.
py::dict cuda_array_interface(const Tensor& tensor) {
  if (!tensor.functions()) throw py::attribute_error("a tensor on the CPU has no __cuda_array_interface__");
  wait_for_device(tensor);
  py::dict interface;
  interface["shape"] = py::tuple(py::cast(tensor.shape));
  interface["typestr"] = py::dtype(info(tensor.dtype).name).attr("str");
  interface["data"] = py::make_tuple(reinterpret_cast<uintptr_t>(tensor.data), tensor.read_only);
  interface["strides"] = py::none();
  interface["stream"] = py::none();
  interface["version"] = 3;
  return interface;
}

namespace {

// What a DLPack capsule we made keeps alive.
template <class ManagedType>
struct Exported {
  ManagedType managed{};
  Tensor tensor;
  Shape strides;
};

template <class ManagedType>
ManagedType* export_dlpack(const Tensor& tensor) {
  auto* exported = new Exported<ManagedType>;
  exported->tensor = tensor;
  exported->strides = contiguous_strides(tensor.shape, 1);
  const DTypeInfo& dtype = info(tensor.dtype);
  exported->managed.array = {tensor.data,
                             {device_type(tensor), 0},
                             static_cast<int32_t>(tensor.shape.size()),
                             {dtype.dlpack_code, static_cast<uint8_t>(dtype.bytes * 8), 1},
                             exported->tensor.shape.data(),
                             exported->strides.data(),
                             0};
  exported->managed.manager_context = exported;
  exported->managed.deleter = [](ManagedType* self) {
    auto* owner = static_cast<Exported<ManagedType>*>(self->manager_context);
    // The consumer's kernels may still read what we free in the order of our stream alone.
    if (owner->tensor.functions()) owner->tensor.functions()->synchronize_all();
    delete owner;
  };
  return &exported->managed;
}

template <class ManagedType>
py::capsule capsule_of(ManagedType* managed, const char* name) {
  return py::reinterpret_steal<py::capsule>(PyCapsule_New(managed, name, [](PyObject* capsule) {
    const char* current = PyCapsule_GetName(capsule);
    if (!current || std::strncmp(current, "used_", 5) == 0) return;
    auto* unused = static_cast<ManagedType*>(PyCapsule_GetPointer(capsule, current));
    if (unused->deleter) unused->deleter(unused);
  }));
}

// The consumer's stream, as DLPack numbers CUDA's: None or 1: the legacy default one, 2: the thread's default one,
// -1: it takes care itself.
void order_before(const Tensor& tensor, const py::object& stream) {
  if (!tensor.functions()) return;
  const int64_t number =
      stream.is_none() ? 1 : integer("Tensor.__dlpack__", "stream", stream, INT64_MIN, INT64_MAX);
  if (number == 0 || number < -1)
    fail("Tensor.__dlpack__", "stream is ", number, ", expected None, -1, 1, 2 or a stream's address");
  if (number == -1) return;
  if (const Status status = tensor.functions()->make_wait(reinterpret_cast<void*>(number)); status.message)
    throw std::runtime_error("[Tensor.__dlpack__] " + std::string(status.message));
}

// Two numbers, as DLPack's devices and versions are.
std::pair<int64_t, int64_t> two_integers(const char* name, const py::object& value) {
  const Shape pair = sizes("Tensor.__dlpack__", name, value);
  if (pair.size() != 2) fail("Tensor.__dlpack__", name, " is ", shown(value), ", expected two integers");
  return {pair[0], pair[1]};
}

}  // namespace

py::capsule dlpack_of(const Tensor& tensor, const py::object& stream, const py::object& max_version,
                      const py::object& device, const py::object& copy) {
  const std::pair<int64_t, int64_t> here(device_type(tensor), 0);
  if (!device.is_none() && two_integers("dl_device", device) != here)
    throw py::buffer_error("[Tensor.__dlpack__] dl_device is another device than the tensor's");
  Tensor shared = tensor;
  if (!copy.is_none() && flag("Tensor.__dlpack__", "copy", copy)) {
    shared = empty(tensor.shape, tensor.dtype, tensor.device);
    pyconv::copy(shared, tensor);
  }
  order_before(shared, stream);
  if (!max_version.is_none() && two_integers("max_version", max_version).first >= 1) {
    auto* managed = export_dlpack<dlpack::ManagedVersioned>(shared);
    managed->version = {1, 0};
    managed->flags = shared.read_only ? dlpack::kFlagReadOnly : 0;
    return capsule_of(managed, "dltensor_versioned");
  }
  if (shared.read_only)
    throw py::buffer_error(
        "[Tensor.__dlpack__] the tensor is read-only, which only consumers of DLPack 1.0 understand; "
        "export a copy of it");
  return capsule_of(export_dlpack<dlpack::Managed>(shared), "dltensor");
}

namespace {

DType dtype_from_dlpack(const dlpack::DataType& type) {
  for (size_t i = 0; i < std::size(kDTypes); ++i)
    if (type.lanes == 1 && type.code == kDTypes[i].dlpack_code && type.bits == kDTypes[i].bytes * 8)
      return static_cast<DType>(i);
  throw py::type_error("[from_dlpack] dtype of DLPack code " + std::to_string(type.code) + " with " +
                       std::to_string(type.bits) + " bits is not supported");
}

// Takes the capsule's contents over: the tensor's owner calls the producer's deleter.
template <class ManagedType>
Tensor import_dlpack(PyObject* capsule, const char* name, const char* used_name) {
  auto* managed = static_cast<ManagedType*>(PyCapsule_GetPointer(capsule, name));
  if (!managed) throw py::error_already_set();
  const dlpack::Array& array = managed->array;
  if (array.device.type != dlpack::kCpu && array.device.type != dlpack::kCuda)
    throw py::value_error("[from_dlpack] the array is on DLPack device type " + std::to_string(array.device.type) +
                          ", expected the CPU or CUDA");
  if (array.device.type == dlpack::kCuda && array.device.id != 0)
    throw py::value_error("[from_dlpack] the array is on GPU " + std::to_string(array.device.id) +
                          ", expected GPU 0; CUDA_VISIBLE_DEVICES chooses among several");
  Tensor tensor;
  if (array.device.type == dlpack::kCuda) tensor.device = &backend_on("cuda");
  tensor.dtype = dtype_from_dlpack(array.dtype);
  if (array.ndim < 0 || (array.ndim > 0 && !array.shape))
    fail("from_dlpack", "array has ", array.ndim, " dimensions and no shape");
  tensor.shape.assign(array.shape, array.shape + array.ndim);
  check_extents("from_dlpack", "array", tensor.shape);
  tensor.data = static_cast<char*>(array.data) + array.byte_offset;
  if constexpr (std::is_same_v<ManagedType, dlpack::ManagedVersioned>)
    tensor.read_only = managed->flags & dlpack::kFlagReadOnly;
  const Shape strides = contiguous_strides(tensor.shape, 1);
  bool contiguous = true;
  for (size_t i = 0; array.strides && tensor.size() && i < strides.size(); ++i)
    contiguous &= tensor.shape[i] == 1 || array.strides[i] == strides[i];
  PyCapsule_SetName(capsule, used_name);
  tensor.owner = std::shared_ptr<void>(managed, [device = tensor.functions()](void* p) {
    auto* self = static_cast<ManagedType*>(p);
    if (device) device->synchronize();  // the producer may use the memory anew at once
    const py::gil_scoped_acquire gil;
    if (self->deleter) self->deleter(self);
  });
  if (contiguous) return tensor;
  if (tensor.device) throw py::value_error("[from_dlpack] expected a contiguous array on the GPU");

  Tensor copy = empty(tensor.shape, tensor.dtype);
  const size_t item = info(tensor.dtype).bytes;
  Shape at(tensor.shape.size(), 0);
  for (int64_t i = 0, n = tensor.size(); i < n; ++i) {
    int64_t offset = 0;
    for (size_t d = 0; d < at.size(); ++d) offset += at[d] * array.strides[d];
    std::memcpy(copy.as<char>() + static_cast<size_t>(i) * item,
                tensor.as<char>() + offset * static_cast<int64_t>(item), item);
    for (size_t d = at.size(); d-- > 0 && ++at[d] == tensor.shape[d];) at[d] = 0;
  }
  return copy;
}

bool is_on_cuda(const py::object& array) {
  if (!py::hasattr(array, "__dlpack_device__")) return false;
  const py::object device = array.attr("__dlpack_device__")();
  return py::isinstance<py::tuple>(device) && py::len(device) == 2 &&
         py::object(device[py::int_(0)]).equal(py::int_(static_cast<int>(dlpack::kCuda)));
}

}  // namespace

Tensor from_dlpack(const py::object& array) {
  if (!py::hasattr(array, "__dlpack__"))
    throw py::type_error(
        message("from_dlpack", "array is ", shown(array), ", expected an object with __dlpack__"));
  py::object capsule;
  py::dict where;  // on a GPU, the producer's work is to be ordered before ours
  if (is_on_cuda(array)) where["stream"] = reinterpret_cast<intptr_t>(backend_on("cuda").device->stream());
  try {
    capsule = array.attr("__dlpack__")(**where, py::arg("max_version") = py::make_tuple(1, 0));
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_TypeError)) throw;
    capsule = array.attr("__dlpack__")(**where);  // a producer from before DLPack 1.0
  }
  if (!PyCapsule_IsValid(capsule.ptr(), "dltensor_versioned") && !PyCapsule_IsValid(capsule.ptr(), "dltensor"))
    throw py::type_error(message("from_dlpack", "array gives ", shown(capsule), ", expected a DLPack capsule"));
  if (PyCapsule_IsValid(capsule.ptr(), "dltensor_versioned"))
    return import_dlpack<dlpack::ManagedVersioned>(capsule.ptr(), "dltensor_versioned", "used_dltensor_versioned");
  return import_dlpack<dlpack::Managed>(capsule.ptr(), "dltensor", "used_dltensor");
}

}  // namespace pyconv
