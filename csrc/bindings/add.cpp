#include <pybind11/stl.h>

#include "call.h"

namespace pyconv {

void bind_add(py::module_& module) {
  module.def(
      "add",
      [](const Tensor& a, const Tensor& b, const OptionalTensor& out) {
        const Op op("add", a);
        check_dtype(op, "a", a, DType::kFloat32);
        check_shape(op, "b", b, a.shape);
        const Tensor y = output(op, "y", out, a.shape);
        submit(op, {&a, &b, &y},
               [run = op.kernels->add, size = a.size(), a = a.as<float>(), b = b.as<float>(),
                y = y.as<float>()](const Context& context) { return run(context, size, a, b, y); });
        return y;
      },
      py::arg("a"), py::arg("b"), py::kw_only(), py::arg("y") = py::none());
}

}  // namespace pyconv
