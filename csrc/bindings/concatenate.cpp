#include <pybind11/stl.h>

#include "call.h"

namespace pyconv {

namespace {

// The axis that an index means, counted from the end where it is negative.
size_t axis_of(const Op& op, const py::object& value, const Shape& shape) {
  const auto rank = static_cast<int64_t>(shape.size());
  if (rank == 0) fail(op, "arrays have no axis, expected at least 1 dimension");
  const int64_t axis = integer(op, "axis", value, -rank, rank - 1);
  return static_cast<size_t>(axis < 0 ? axis + rank : axis);
}

// What lies before the axis are rows, what lies after belongs to its elements.
ConcatenateShape rows_of(const Shape& shape, size_t axis, int64_t a, int64_t b) {
  ConcatenateShape s{1, a, b};
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i < axis) s.M *= shape[i];
    if (i > axis) s.A *= shape[i], s.B *= shape[i];
  }
  return s;
}

const Bindings concatenate_bindings = [](py::module_& module) {
  module.def(
      "concatenate",
      [](const Tensor& a, const Tensor& b, const py::object& axis_value, const OptionalTensor& out) {
        const Op op("concatenate", a);
        const size_t axis = axis_of(op, axis_value, a.shape);
        Shape shape = a.shape;
        if (b.shape.size() == shape.size()) shape[axis] = b.shape[axis];
        check_shape(op, "b", b, shape);
        const ConcatenateShape s = rows_of(shape, axis, a.shape[axis], b.shape[axis]);
        shape[axis] = a.shape[axis] + b.shape[axis];
        const Tensor y = output(op, "y", out, shape);
        submit(op, op.kernels->concatenate, s, a, b, y);
        return y;
      },
      py::arg("a"), py::arg("b"), py::kw_only(), py::arg("axis") = -1, none("y"));
  module.def(
      "concatenate_backward",
      [](const Tensor& dy, const py::object& size, const py::object& axis_value, const OptionalTensor& da_out,
         const OptionalTensor& db_out) {
        const Op op("concatenate_backward", dy);
        const size_t axis = axis_of(op, axis_value, dy.shape);
        Shape a = dy.shape, b = dy.shape;
        a[axis] = integer(op, "size", size, 0, dy.shape[axis]);
        b[axis] = dy.shape[axis] - a[axis];
        const Tensor da = output(op, "da", da_out, a), db = output(op, "db", db_out, b);
        submit(op, op.kernels->concatenate_backward, rows_of(a, axis, a[axis], b[axis]), dy, da, db);
        return std::pair(da, db);
      },
      py::arg("dy"), py::arg("size"), py::kw_only(), py::arg("axis") = -1, none("da"), none("db"));
};

}  // namespace

}  // namespace pyconv
