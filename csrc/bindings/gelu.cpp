#include <pybind11/stl.h>

#include "call.h"

namespace pyconv {

namespace {

const Bindings gelu_bindings = [](py::module_& module) {
  module.def(
      "gelu",
      [](const Tensor& x, const py::object& approximate, const OptionalTensor& out) {
        const Op op("gelu", x);
        const bool tanh = flag(op, "approximate", approximate);
        const Tensor y = output(op, "y", out, x.shape);
        submit(op, op.kernels->gelu, x.size(), tanh, x, y);
        return y;
      },
      py::arg("x"), py::kw_only(), py::arg("approximate") = false, none("y"));
  module.def(
      "gelu_backward",
      [](const Tensor& dy, const Tensor& x, const py::object& approximate, const OptionalTensor& out) {
        const Op op("gelu_backward", dy);
        const bool tanh = flag(op, "approximate", approximate);
        check_shape(op, "dy", dy, x.shape);
        const Tensor dx = output(op, "dx", out, x.shape);
        submit(op, op.kernels->gelu_backward, x.size(), tanh, dy, x, dx);
        return dx;
      },
      py::arg("dy"), py::arg("x"), py::kw_only(), py::arg("approximate") = false, none("dx"));
};

}  // namespace

}  // namespace pyconv
