// Tensor: a contiguous array that owns its memory or borrows it and keeps the owner alive.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../shapes.h"

namespace pyconv {

namespace py = pybind11;

using Shape = std::vector<int64_t>;

struct Tensor {
  std::shared_ptr<void> owner;
  void* data = nullptr;
  DType dtype = DType::kFloat32;
  Shape shape;
  bool read_only = false;

  int64_t ndim() const { return static_cast<int64_t>(shape.size()); }
  int64_t size() const;
  size_t bytes() const;
  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
};

using OptionalTensor = std::optional<Tensor>;

size_t item_bytes(DType dtype);
const char* dtype_name(DType dtype);
DType dtype_of(const std::string& name);  // throws py::value_error
std::string shape_text(const Shape& shape);

Tensor empty(Shape shape, DType dtype = DType::kFloat32);

void bind_tensor(py::module_& module);

}  // namespace pyconv
