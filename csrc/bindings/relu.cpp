#include <pybind11/stl.h>

#include "call.h"

namespace pyconv {

void bind_relu(py::module_& module) {
  module.def(
      "relu",
      [](const Tensor& x, const OptionalTensor& out) {
        const Op op("relu", x);
        check_dtype(op, "x", x, DType::kFloat32);
        const Tensor y = output(op, "y", out, x.shape);
        submit(op, {&x, &y},
               [run = op.kernels->relu, size = x.size(), x = x.as<float>(),
                y = y.as<float>()](const Context& context) { return run(context, size, x, y); });
        return y;
      },
      py::arg("x"), py::kw_only(), py::arg("y") = py::none());
  module.def(
      "relu_backward",
      [](const Tensor& dy, const Tensor& y, const OptionalTensor& out) {
        const Op op("relu_backward", dy);
        check_dtype(op, "y", y, DType::kFloat32);
        check_shape(op, "dy", dy, y.shape);
        const Tensor dx = output(op, "dx", out, y.shape);
        submit(op, {&dy, &y, &dx},
               [run = op.kernels->relu_backward, size = y.size(), dy = dy.as<float>(), y = y.as<float>(),
                dx = dx.as<float>()](const Context& context) { return run(context, size, dy, y, dx); });
        return dx;
      },
      py::arg("dy"), py::arg("y"), py::kw_only(), py::arg("dx") = py::none());
}

}  // namespace pyconv
