#include <pybind11/stl.h>

#include "call.h"

namespace pyconv {

namespace {

const Bindings softmax_bindings = [](py::module_& module) {
  module.def(
      "softmax",
      [](const Tensor& x, const OptionalTensor& out) {
        const Op op("softmax", x);
        check_ndim(op, "x", x, 2, "(N, K)");
        const Tensor y = output(op, "y", out, x.shape);
        submit(op, op.kernels->softmax, ClassShape{x.shape[0], x.shape[1], 0}, x, y);
        return y;
      },
      py::arg("x"), py::kw_only(), none("y"));
  module.def(
      "softmax_backward",
      [](const Tensor& dy, const Tensor& y, const OptionalTensor& out) {
        const Op op("softmax_backward", dy);
        check_ndim(op, "y", y, 2, "(N, K)");
        check_shape(op, "dy", dy, y.shape);
        const Tensor dx = output(op, "dx", out, y.shape);
        submit(op, op.kernels->softmax_backward, ClassShape{y.shape[0], y.shape[1], 0}, dy, y, dx);
        return dx;
      },
      py::arg("dy"), py::arg("y"), py::kw_only(), none("dx"));
};

}  // namespace

}  // namespace pyconv
