#include <pybind11/stl.h>

#include "call.h"

namespace pyconv {

namespace {

const Bindings add_bindings = [](py::module_& module) {
  module.def(
      "add",
      [](const Tensor& a, const Tensor& b, const OptionalTensor& out) {
        const Op op("add", a);
        check_shape(op, "b", b, a.shape);
        const Tensor y = output(op, "y", out, a.shape);
        submit(op, op.kernels->add, a.size(), a, b, y);
        return y;
      },
      py::arg("a"), py::arg("b"), py::kw_only(), none("y"));
};

}  // namespace

}  // namespace pyconv
