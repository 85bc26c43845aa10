#include "tensor.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstring>

#include "../memory.h"
#include "dlpack.h"
#include "gil.h"

namespace pyconv {

namespace {

struct DTypeInfo {
  const char* name;
  size_t bytes;
  uint8_t code;
};
constexpr DTypeInfo kDTypes[] = {{"float32", 4, dlpack::kFloat}, {"uint8", 1, dlpack::kUInt},
                                 {"int32", 4, dlpack::kInt},     {"int64", 8, dlpack::kInt},
                                 {"uint32", 4, dlpack::kUInt},   {"float64", 8, dlpack::kFloat}};

const DTypeInfo& info(DType dtype) {
  return kDTypes[static_cast<size_t>(dtype)];
}

Shape contiguous_strides(const Shape& shape, int64_t item) {
  Shape strides(shape.size());
  for (size_t i = shape.size(); i-- > 0; item *= shape[i]) strides[i] = item;
  return strides;
}

// A NumPy array that shares the tensor's memory and keeps its owner alive; of a device's tensor, a copy.
py::array to_numpy(const Tensor& t) {
  const Tensor tensor = on_host(t);
  auto* keep = new std::shared_ptr<void>(tensor.owner);
  py::capsule base(keep, [](void* p) { delete static_cast<std::shared_ptr<void>*>(p); });
  py::array array(py::dtype(info(tensor.dtype).name), tensor.shape,
                  contiguous_strides(tensor.shape, static_cast<int64_t>(item_bytes(tensor.dtype))), tensor.data,
                  base);
  if (tensor.read_only) array.attr("setflags")(py::arg("write") = false);
  return array;
}

Tensor from_numpy(const py::array& array) {
  Tensor tensor;
  tensor.dtype = dtype_of(py::str(static_cast<py::object>(array.dtype())));  // the byte order is part of it
  if (!(array.flags() & py::array::c_style) ||
      reinterpret_cast<uintptr_t>(array.data()) % std::min<size_t>(item_bytes(tensor.dtype), 8))
    throw py::value_error("[Tensor] expected a contiguous, aligned array; make one with numpy.ascontiguousarray");
  tensor.shape.assign(array.shape(), array.shape() + array.ndim());
  check_extents("Tensor", "shape", tensor.shape);
  tensor.data = const_cast<void*>(array.data());
  tensor.read_only = !array.writeable();
  tensor.owner = std::shared_ptr<void>(new py::object(array), [](void* p) {
    const py::gil_scoped_acquire gil;
    delete static_cast<py::object*>(p);
  });
  return tensor;
}

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
                             {dtype.code, static_cast<uint8_t>(dtype.bytes * 8), 1},
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

DType dtype_from_dlpack(const dlpack::DataType& type) {
  for (size_t i = 0; i < std::size(kDTypes); ++i)
    if (type.lanes == 1 && type.code == kDTypes[i].code && type.bits == kDTypes[i].bytes * 8)
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
  const size_t item = item_bytes(tensor.dtype);
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

Tensor reshaped(const Tensor& tensor, const py::object& given) {
  const char* op = "Tensor.reshape";
  Shape shape = sizes(op, "shape", given, INT64_MIN);
  int64_t known = 1, unknown = -1;
  bool fits = true;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == -1 && unknown < 0)
      unknown = static_cast<int64_t>(i);
    else
      known = product(known, std::max<int64_t>(shape[i], 0)), fits &= shape[i] >= 0;
  }
  const Shape wanted = shape;
  if (unknown >= 0 && known > 0) shape[static_cast<size_t>(unknown)] = tensor.size() / known;
  if (unknown >= 0 && known == 0) fits = false;
  if (!fits || elements(shape) != tensor.size())
    fail(op, "a tensor of shape ", shape_text(tensor.shape), " has no view of shape ", shape_text(wanted));
  check_extents(op, "shape", shape);
  Tensor view = tensor;
  view.shape = std::move(shape);
  return view;
}

// `count` bytes of an arena as a tensor of another type.
Tensor arena_view(const Tensor& arena, const py::object& offset_given, const py::object& shape_given,
                  const py::object& dtype) {
  const char* op = "Tensor.view";
  Tensor view = arena;
  view.dtype = dtype_of(word(op, "dtype", dtype, "the name of a dtype"), op);
  view.shape = sizes(op, "shape", shape_given, INT64_MIN);
  check_extents(op, "shape", view.shape);
  const auto offset = static_cast<size_t>(integer(op, "offset", offset_given, 0, INT64_MAX));
  if (offset > arena.bytes() || view.bytes() > arena.bytes() - offset)
    fail(op, view.bytes(), " bytes at ", offset, " do not fit ", arena.bytes());
  view.data = arena.as<char>() + offset;
  if (reinterpret_cast<uintptr_t>(view.data) % std::min<size_t>(item_bytes(view.dtype), 8))
    fail(op, "offset is ", offset, ", expected a place aligned to ", dtype_name(view.dtype));
  return view;
}

// Null for "cpu".
const Backend* device_of(const char* op, const py::object& given) {
  const std::string name = word(op, "device", given, "'cpu' or 'cuda'");
  try {
    const Backend& found = backend_on(name);
    return found.device ? &found : nullptr;
  } catch (const std::invalid_argument& error) {  // which says what the device is
    fail(op, error.what());
  }
}

Tensor new_tensor(const char* op, const py::object& shape, const py::object& dtype, const py::object& device) {
  return empty(sizes(op, "shape", shape, INT64_MIN), dtype_of(word(op, "dtype", dtype, "the name of a dtype")),
               device_of(op, device));
}

}  // namespace

size_t Tensor::bytes() const {
  return static_cast<size_t>(product(size(), static_cast<int64_t>(item_bytes(dtype))));
}

void check_extents(const char* op, const char* name, const Shape& shape) {
  for (const int64_t extent : shape)
    if (extent < 0) fail(op, "negative size in ", name, " ", shape_text(shape));
  if (elements(shape, true) > kMostElements)
    fail(op, name, " is ", shape_text(shape), ", expected at most 2^40 elements, sizes of 0 taken for 1");
}

size_t item_bytes(DType dtype) {
  return info(dtype).bytes;
}
const char* dtype_name(DType dtype) {
  return info(dtype).name;
}

DType dtype_of(const std::string& name, const char* op) {
  for (size_t i = 0; i < std::size(kDTypes); ++i)
    if (name == kDTypes[i].name) return static_cast<DType>(i);
  throw py::type_error(
      message(op, "dtype is ", name, ", expected one of float32, uint8, int32, int64, uint32, float64"));
}

std::string shape_text(const Shape& shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

const char* device_name(const Backend* device) {
  return device && device->device ? "cuda" : "cpu";
}

void copy(const Tensor& to, const Tensor& from) {
  const DeviceFunctions *target = to.functions(), *source = from.functions();
  const size_t bytes = to.bytes();
  if (!bytes) return;
  Status status = kOk;
  std::optional<GilRelease> release;
  if (target || source) release.emplace();  // it may wait for the device
  if (target && source)
    status = target->copy(to.data, from.data, bytes);
  else if (target)
    status = target->copy_in(to.data, from.data, bytes);
  else if (source)
    status = source->copy_out(to.data, from.data, bytes);
  else
    std::memcpy(to.data, from.data, bytes);
  release.reset();
  if (status.message) throw std::runtime_error("[Tensor] " + std::string(status.message));
}

Tensor moved(const Tensor& tensor, const Backend* device) {
  if (tensor.device == device) return tensor;
  Tensor target = empty(tensor.shape, tensor.dtype, device);
  copy(target, tensor);
  return target;
}

Tensor empty(Shape shape, DType dtype, const Backend* device, const char* op, const char* name) {
  check_extents(op, name, shape);
  Tensor tensor;
  tensor.device = device;
  tensor.shape = std::move(shape);
  tensor.dtype = dtype;
  try {
    tensor.owner = allocate(tensor.bytes(), tensor.functions());
  } catch (const std::bad_alloc&) {
    throw OutOfMemory(message(op, name, " of shape ", shape_text(tensor.shape), " takes ", tensor.bytes(),
                              " bytes, which cannot be had"));
  }
  tensor.data = tensor.owner.get();
  return tensor;
}

Tensor copied(const Tensor& tensor) {
  Tensor target = empty(tensor.shape, tensor.dtype, tensor.device, "Tensor.copy", "a copy");
  copy(target, tensor);
  return target;
}

void assign(const Tensor& tensor, const py::object& value) {
  const char* op = "Tensor.assign";
  if (tensor.read_only) fail(op, "the tensor is read-only");
  const Tensor target = tensor.device ? empty(tensor.shape, tensor.dtype) : tensor;
  try {
    to_numpy(target).attr("__setitem__")(py::ellipsis(), value);
  } catch (py::error_already_set& error) {
    const bool kind = error.matches(PyExc_TypeError);
    if (!kind && !error.matches(PyExc_ValueError) && !error.matches(PyExc_OverflowError)) throw;
    const std::string text = message(op, "value is ", shown(value), ", expected numbers that fit ",
                                     dtype_name(tensor.dtype), " of shape ", shape_text(tensor.shape));
    if (kind) throw py::type_error(text);
    throw py::value_error(text);
  }
  if (tensor.device) copy(tensor, target);
}

// NumPy's protocol, `np.asarray(tensor, dtype, copy=...)`.
py::object as_array(const Tensor& tensor, const py::object& dtype, const py::object& copy) {
  const char* op = "Tensor.__array__";
  py::object array = to_numpy(tensor);
  const bool must = !copy.is_none() && flag(op, "copy", copy), may = copy.is_none() || must;
  if (dtype.is_none()) return must ? array.attr("copy")() : array;
  py::object cast;
  try {
    cast = array.attr("astype")(dtype, py::arg("copy") = must);
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_TypeError) && !error.matches(PyExc_ValueError)) throw;
    throw py::type_error(message(op, "dtype is ", shown(dtype), ", expected a NumPy dtype of numbers"));
  }
  if (!may && !cast.is(array)) fail(op, "copy is False, but another dtype needs a copy");
  return cast;
}

// A tensor of the CPU with the contents that a pickle holds, whichever device it lay on.
Tensor unpickled(const py::tuple& state) {
  if (state.size() != 1 || !py::isinstance<py::array>(state[0]))
    throw py::type_error(message("Tensor.__setstate__", "state is ", shown(state), ", expected one array"));
  return from_numpy(py::cast<py::array>(state[0]));
}

void bind_tensor(py::module_& module) {
  py::class_<Tensor>(module, "Tensor")
      .def(py::init([](const py::args&, const py::kwargs&) -> Tensor {
        throw py::type_error("[Tensor] is made by pyconv.from_dlpack, of a NumPy array among others");
      }))
      .def_property_readonly("shape", [](const Tensor& t) { return py::tuple(py::cast(t.shape)); })
      .def_property_readonly("ndim", &Tensor::ndim)
      .def_property_readonly("size", &Tensor::size)
      .def_property_readonly("nbytes", &Tensor::bytes)
      .def_property_readonly("dtype", [](const Tensor& t) { return dtype_name(t.dtype); })
      .def_property_readonly("device", [](const Tensor& t) { return device_name(t.device); })
      .def_property_readonly("read_only", [](const Tensor& t) { return t.read_only; })
      .def("numpy", &to_numpy)
      .def(
          "to", [](const Tensor& t, const py::object& device) { return moved(t, device_of("Tensor.to", device)); },
          py::arg("device"))
      .def("assign", &assign, py::arg("value"))
      .def("copy", &copied)
      .def("__copy__", &copied)
      .def(
          "__deepcopy__", [](const Tensor& t, const py::object&) { return copied(t); }, py::arg("memo"))
      .def(py::pickle([](const Tensor& t) { return py::make_tuple(to_numpy(t)); }, &unpickled))
      .def(
          "copy_from",
          [](const Tensor& t, const py::object& given) {
            if (!py::isinstance<Tensor>(given))
              throw py::type_error(message("Tensor.copy_from", "source is ", shown(given), ", expected a Tensor"));
            const Tensor& source = py::cast<const Tensor&>(given);
            if (t.read_only) throw py::value_error("[Tensor.copy_from] the tensor is read-only");
            if (source.shape != t.shape || source.dtype != t.dtype)
              throw py::value_error("[Tensor.copy_from] source is " + std::string(dtype_name(source.dtype)) + " " +
                                    shape_text(source.shape) + ", expected " + dtype_name(t.dtype) + " " +
                                    shape_text(t.shape));
            copy(t, source);
          },
          py::arg("source"))
      .def("__array__", &as_array, py::arg("dtype") = py::none(), py::arg("copy") = py::none())
      .def("__dlpack__", &dlpack_of, py::kw_only(), py::arg("stream") = py::none(),
           py::arg("max_version") = py::none(), py::arg("dl_device") = py::none(), py::arg("copy") = py::none())
      .def("__dlpack_device__", [](const Tensor& t) { return py::make_tuple(device_type(t), 0); })
      .def_property_readonly("__cuda_array_interface__", &cuda_array_interface)
      .def("reshape", &reshaped, py::arg("shape"))
      .def("view", &arena_view, py::arg("offset"), py::arg("shape"), py::arg("dtype"))
      .def("as_read_only",
           [](Tensor t) {
             t.read_only = true;
             return t;
           })
      .def("__len__",
           [](const Tensor& t) {
             if (t.shape.empty()) throw py::type_error("len() of a 0-d Tensor");
             return t.shape[0];
           })
      .def("__repr__", [](const Tensor& t) {
        return "Tensor(shape=" + shape_text(t.shape) + ", dtype=" + dtype_name(t.dtype) +
               ", device=" + device_name(t.device) + ")";
      });
  module.def(
      "empty",
      [](const py::object& shape, const py::object& dtype, const py::object& device) {
        return new_tensor("Tensor", shape, dtype, device);
      },
      py::arg("shape"), py::arg("dtype") = "float32", py::arg("device") = "cpu");
  module.def(
      "zeros",
      [](const py::object& shape, const py::object& dtype, const py::object& device) {
        const Tensor tensor = new_tensor("Tensor", shape, dtype, device);
        const DeviceFunctions* device_functions = tensor.functions();
        void* stream = device_functions ? device_functions->stream() : nullptr;
        if (const Status status = clear(device_functions, stream, tensor.data, tensor.bytes()); status.message)
          throw std::runtime_error("[zeros] " + std::string(status.message));
        return tensor;
      },
      py::arg("shape"), py::arg("dtype") = "float32", py::arg("device") = "cpu");
  module.def("from_numpy", &from_numpy, py::arg("array"));
  module.def("from_dlpack", &from_dlpack, py::arg("array"));
}

}  // namespace pyconv
