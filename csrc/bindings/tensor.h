// Tensor: a contiguous array that owns its memory or borrows it and keeps the owner alive.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../backends.h"
#include "../shapes.h"
#include "../sizes.h"
#include "arguments.h"
#include "dlpack.h"

namespace pyconv {

// Whoever makes one has checked its shape (check_extents).
struct Tensor {
  std::shared_ptr<void> owner;
  void* data = nullptr;
  DType dtype = DType::kFloat32;
  Shape shape;
  bool read_only = false;
  const Backend* device = nullptr;  // null: the host

  int64_t ndim() const { return static_cast<int64_t>(shape.size()); }
  int64_t size() const { return elements(shape); }
  size_t bytes() const;
  const DeviceFunctions* functions() const { return device ? device->device : nullptr; }
  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
};

using OptionalTensor = std::optional<Tensor>;

// The element types, in the order of DType.
struct DTypeInfo {
  const char* name;  // as NumPy's
  size_t bytes;
  uint8_t dlpack_code;
};
constexpr DTypeInfo kDTypes[] = {{"float32", 4, dlpack::kFloat}, {"uint8", 1, dlpack::kUInt},
                                 {"int32", 4, dlpack::kInt},     {"int64", 8, dlpack::kInt},
                                 {"uint32", 4, dlpack::kUInt},   {"float64", 8, dlpack::kFloat}};
const DTypeInfo& info(DType dtype);
inline const char* dtype_name(DType dtype) {
  return info(dtype).name;
}
DType dtype_of(const std::string& name, const char* op = "Tensor");  // throws py::type_error
std::string shape_text(const Shape& shape);

// Throws where a size is negative, or the elements are more than kMostElements.
void check_extents(const char* op, const char* name, const Shape& shape);

// The strides of a contiguous array whose elements take `item` units each.
Shape contiguous_strides(const Shape& shape, int64_t item);

// A new tensor. Throws for what check_extents refuses, and OutOfMemory; both name the op and its argument.
Tensor empty(Shape shape, DType dtype = DType::kFloat32, const Backend* device = nullptr,
             const char* op = "Tensor", const char* name = "shape");

// "cpu" or "cuda"; null: the host.
const char* device_name(const Backend* device);

// The tensor itself where it lies on that device, else a copy there. Copies to the host wait for the device.
Tensor moved(const Tensor& tensor, const Backend* device);
inline Tensor on_host(const Tensor& tensor) {
  return moved(tensor, nullptr);
}

// Writes `from` into `to`, wherever the two lie.
void copy(const Tensor& to, const Tensor& from);

// ---- arrays of other libraries (dlpack.cpp): `__dlpack__`, `__dlpack_device__`, from_dlpack, and CUDA's
// interface.
py::capsule dlpack_of(const Tensor& tensor, const py::object& stream, const py::object& max_version,
                      const py::object& device, const py::object& copy);
py::tuple dlpack_device_of(const Tensor& tensor);
Tensor from_dlpack(const py::object& array);
py::dict cuda_array_interface(const Tensor& tensor);

void bind_tensor(py::module_& module);  // tensor_class.cpp

}  // namespace pyconv
