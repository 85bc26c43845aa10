// Tensor as Python sees it: its class, NumPy arrays from and to it, and the views of it.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>

#include "../memory.h"
#include "tensor.h"

namespace pyconv {

namespace {

// A NumPy array that shares the tensor's memory and keeps its owner alive; of a device's tensor, a copy.
py::array to_numpy(const Tensor& t) {
  const Tensor tensor = on_host(t);
  auto* keep = new std::shared_ptr<void>(tensor.owner);
  py::capsule base(keep, [](void* p) { delete static_cast<std::shared_ptr<void>*>(p); });
  py::array array(py::dtype(info(tensor.dtype).name), tensor.shape,
                  contiguous_strides(tensor.shape, static_cast<int64_t>(info(tensor.dtype).bytes)), tensor.data,
                  base);
  if (tensor.read_only) array.attr("setflags")(py::arg("write") = false);
  return array;
}

Tensor from_numpy(const py::array& array) {
  Tensor tensor;
  tensor.dtype = dtype_of(py::str(static_cast<py::object>(array.dtype())));  // the byte order is part of it
  if (!(array.flags() & py::array::c_style) ||
      reinterpret_cast<uintptr_t>(array.data()) % std::min<size_t>(info(tensor.dtype).bytes, 8))
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
  if (reinterpret_cast<uintptr_t>(view.data) % std::min<size_t>(info(view.dtype).bytes, 8))
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

}  // namespace

void bind_tensor(py::module_& module) {
  py::dict dtypes;
  for (const DTypeInfo& dtype : kDTypes) dtypes[dtype.name] = dtype.bytes;
  module.attr("DTYPES") = dtypes;
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
      .def("__dlpack_device__", &dlpack_device_of)
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
