#include <pybind11/stl.h>

#include "call.h"

namespace pyconv {

namespace {

const Bindings relu_bindings = [](py::module_& module) {
  module.def(
      "relu",
      [](const Tensor& x, const OptionalTensor& out) {
        const Op op("relu", x);
        const Tensor y = output(op, "y", out, x.shape);
        submit(op, op.kernels->relu, x.size(), x, y);
        return y;
      },
      py::arg("x"), py::kw_only(), none("y"));
  module.def(
      "relu_backward",
      [](const Tensor& dy, const Tensor& y, const OptionalTensor& out) {
        const Op op("relu_backward", dy);
        check_shape(op, "dy", dy, y.shape);
        const Tensor dx = output(op, "dx", out, y.shape);
        submit(op, op.kernels->relu_backward, y.size(), dy, y, dx);
        return dx;
      },
      py::arg("dy"), py::arg("y"), py::kw_only(), none("dx"));
};

}  // namespace

}  // namespace pyconv
