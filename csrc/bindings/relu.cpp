#include <pybind11/stl.h>

#include "call.h"

namespace pyconv {

void bind_relu(py::module_& module) {
  module.def(
      "relu",
      [](const Tensor& x, const OptionalTensor& out) {
        check_dtype("relu", "x", x, DType::kFloat32);
        const Tensor y = output("relu", "y", out, x.shape);
        submit("relu", {&x, &y},
               [run = backend().kernels->relu, size = x.size(), x = x.as<float>(),
                y = y.as<float>()](const Context& context) { return run(context, size, x, y); });
        return y;
      },
      py::arg("x"), py::kw_only(), py::arg("y") = py::none());
  module.def(
      "relu_backward",
      [](const Tensor& dy, const Tensor& y, const OptionalTensor& out) {
        check_dtype("relu_backward", "y", y, DType::kFloat32);
        check_shape("relu_backward", "dy", dy, y.shape);
        const Tensor dx = output("relu_backward", "dx", out, y.shape);
        submit("relu_backward", {&dy, &y, &dx},
               [run = backend().kernels->relu_backward, size = y.size(), dy = dy.as<float>(), y = y.as<float>(),
                dx = dx.as<float>()](const Context& context) { return run(context, size, dy, y, dx); });
        return dx;
      },
      py::arg("dy"), py::arg("y"), py::kw_only(), py::arg("dx") = py::none());
}

}  // namespace pyconv
