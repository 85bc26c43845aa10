#include <pybind11/stl.h>

#include "call.h"

namespace pyconv {

void bind_softmax(py::module_& module) {
  module.def(
      "softmax",
      [](const Tensor& x, const OptionalTensor& out) {
        check_dtype("softmax", "x", x, DType::kFloat32);
        check_ndim("softmax", "x", x, 2, "(N, K)");
        const Tensor y = output("softmax", "y", out, x.shape);
        submit(
            "softmax", {&x, &y},
            [run = backend().kernels->softmax, shape = ClassShape{x.shape[0], x.shape[1], 0, 0}, x = x.as<float>(),
             y = y.as<float>()](const Context& context) { return run(context, shape, x, y); });
        return y;
      },
      py::arg("x"), py::kw_only(), py::arg("y") = py::none());
  module.def(
      "softmax_backward",
      [](const Tensor& dy, const Tensor& y, const OptionalTensor& out) {
        check_dtype("softmax_backward", "y", y, DType::kFloat32);
        check_ndim("softmax_backward", "y", y, 2, "(N, K)");
        check_shape("softmax_backward", "dy", dy, y.shape);
        const Tensor dx = output("softmax_backward", "dx", out, y.shape);
        submit("softmax_backward", {&dy, &y, &dx},
               [run = backend().kernels->softmax_backward, shape = ClassShape{y.shape[0], y.shape[1], 0, 0},
                dy = dy.as<float>(), y = y.as<float>(),
                dx = dx.as<float>()](const Context& context) { return run(context, shape, dy, y, dx); });
        return dx;
      },
      py::arg("dy"), py::arg("y"), py::kw_only(), py::arg("dx") = py::none());
}

}  // namespace pyconv
