#include <pybind11/stl.h>

#include "call.h"

namespace pyconv {

void bind_softmax(py::module_& module) {
  module.def(
      "softmax",
      [](const Tensor& x, const OptionalTensor& out) {
        const Op op("softmax", x);
        check_dtype(op, "x", x, DType::kFloat32);
        check_ndim(op, "x", x, 2, "(N, K)");
        const Tensor y = output(op, "y", out, x.shape);
        submit(op, {&x, &y},
               [run = op.kernels->softmax, shape = ClassShape{x.shape[0], x.shape[1], 0, 0}, x = x.as<float>(),
                y = y.as<float>()](const Context& context) { return run(context, shape, x, y); });
        return y;
      },
      py::arg("x"), py::kw_only(), py::arg("y") = py::none());
  module.def(
      "softmax_backward",
      [](const Tensor& dy, const Tensor& y, const OptionalTensor& out) {
        const Op op("softmax_backward", dy);
        check_dtype(op, "y", y, DType::kFloat32);
        check_ndim(op, "y", y, 2, "(N, K)");
        check_shape(op, "dy", dy, y.shape);
        const Tensor dx = output(op, "dx", out, y.shape);
        submit(op, {&dy, &y, &dx},
               [run = op.kernels->softmax_backward, shape = ClassShape{y.shape[0], y.shape[1], 0, 0},
                dy = dy.as<float>(), y = y.as<float>(),
                dx = dx.as<float>()](const Context& context) { return run(context, shape, dy, y, dx); });
        return dx;
      },
      py::arg("dy"), py::arg("y"), py::kw_only(), py::arg("dx") = py::none());
}

}  // namespace pyconv
