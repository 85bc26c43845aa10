#include <pybind11/stl.h>

#include "call.h"

namespace pyconv {

namespace {

using Reduction = decltype(Kernels::sum);

void bind_reduction(py::module_& module, const char* op, Reduction Kernels::* entry) {
  module.def(
      op,
      [op, entry](const Tensor& x, float scale, const OptionalTensor& out) {
        check_dtype(op, "x", x, DType::kFloat32);
        const Tensor total = output(op, "total", out, {1}, DType::kFloat64);
        submit(op, {&x, &total},
               [run = backend().kernels->*entry, fresh = !out, size = x.size(), scale, x = x.as<float>(),
                total = total.as<double>()](const Context& context) {
                 if (fresh) *total = 0;
                 return run(context, size, scale, x, total);
               });
        return total;
      },
      py::arg("x"), py::kw_only(), py::arg("scale") = 1.0f, py::arg("total") = py::none());
}

}  // namespace

void bind_sum(py::module_& module) {
  bind_reduction(module, "sum", &Kernels::sum);
  bind_reduction(module, "sum_of_squares", &Kernels::sum_of_squares);
}

}  // namespace pyconv
