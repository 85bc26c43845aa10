#include <pybind11/stl.h>

#include "call.h"

namespace pyconv {

namespace {

using Reduction = decltype(Kernels::sum);

void bind_reduction(py::module_& module, const char* name, Reduction Kernels::* entry) {
  module.def(
      name,
      [name, entry](const Tensor& x, float scale, const OptionalTensor& out) {
        const Op op(name, x);
        const Tensor total = output(op, "total", out, {1}, DType::kFloat64);
        const auto run = [entry = op.kernels->*entry, device = op.backend->device, fresh = !out](
                             const Context& context, int64_t size, float scale, const float* x, double* total) {
          const Status status = fresh ? clear(device, context.stream, total, sizeof(*total)) : kOk;
          return status.message ? status : entry(context, size, scale, x, total);
        };
        submit_as(op.kernels->*entry, op, {}, run, x.size(), scale, x, total);
        return total;
      },
      py::arg("x"), py::kw_only(), py::arg("scale") = 1.0f, none("total"));
}

const Bindings sum_bindings = [](py::module_& module) {
  bind_reduction(module, "sum", &Kernels::sum);
  bind_reduction(module, "sum_of_squares", &Kernels::sum_of_squares);
};

}  // namespace

}  // namespace pyconv
