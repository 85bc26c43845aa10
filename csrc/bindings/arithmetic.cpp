#include <pybind11/stl.h>

#include "call.h"

namespace pyconv {

namespace {

// y of two arrays of one shape.
template <class Entry>
void of_two(py::module_& module, const char* name, Entry Kernels::* entry) {
  module.def(
      name,
      [=](const Tensor& a, const Tensor& b, const OptionalTensor& out) {
        const Op op(name, a);
        check_shape(op, "b", b, a.shape);
        const Tensor y = output(op, "y", out, a.shape);
        submit(op, op.kernels->*entry, a.size(), a, b, y);
        return y;
      },
      py::arg("a"), py::arg("b"), py::kw_only(), none("y"));
}

// y of one array.
template <class Entry>
void of_one(py::module_& module, const char* name, Entry Kernels::* entry) {
  module.def(
      name,
      [=](const Tensor& x, const OptionalTensor& out) {
        const Op op(name, x);
        const Tensor y = output(op, "y", out, x.shape);
        submit(op, op.kernels->*entry, x.size(), x, y);
        return y;
      },
      py::arg("x"), py::kw_only(), none("y"));
}

const Bindings arithmetic_bindings = [](py::module_& module) {
  of_two(module, "add", &Kernels::add);
  of_two(module, "multiply", &Kernels::multiply);
  of_two(module, "divide", &Kernels::divide);
  of_one(module, "exp", &Kernels::exp);
  of_one(module, "log", &Kernels::log);
  module.def(
      "rescale",
      [](const Tensor& x, const py::object& scale, const py::object& offset, const OptionalTensor& out) {
        const Op op("rescale", x);
        const Tensor y = output(op, "y", out, x.shape);
        submit(op, op.kernels->rescale, x.size(), number(op, "scale", scale), number(op, "offset", offset), x, y);
        return y;
      },
      py::arg("x"), py::kw_only(), py::arg("scale") = 1.0f, py::arg("offset") = 0.0f, none("y"));
};

}  // namespace

}  // namespace pyconv
