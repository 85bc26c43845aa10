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

size_t item_bytes(DType dtype);
const char* dtype_name(DType dtype);
DType dtype_of(const std::string& name, const char* op = "Tensor");  // throws py::type_error
std::string shape_text(const Shape& shape);

// Throws where a size is negative, or the elements are more than kMostElements.
void check_extents(const char* op, const char* name, const Shape& shape);

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

void bind_tensor(py::module_& module);

}  // namespace pyconv
