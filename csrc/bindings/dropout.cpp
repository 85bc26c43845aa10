#include <pybind11/stl.h>

#include "../philox.h"
#include "call.h"

namespace pyconv {

namespace {

const Bindings dropout_bindings = [](py::module_& module) {
  module.def(
      "dropout",
      [](const Tensor& x, const Tensor& rng, const py::object& rate_given, const py::object& purpose_given,
         const OptionalTensor& out) {
        const Op op("dropout", x);
        check_shape(op, "rng", rng, {4}, DType::kUint32);
        const float rate = number(op, "rate", rate_given, false);
        if (!(rate >= 0 && rate < 1)) fail(op, "rate is ", rate, ", expected at least 0 and below 1");
        const auto purpose = static_cast<uint32_t>(integer(op, "purpose", purpose_given, 0, UINT32_MAX));
        const Tensor y = output(op, "y", out, x.shape);
        submit(op, op.kernels->dropout, DropoutShape{x.size(), rate, purpose}, rng, x, y);
        return y;
      },
      py::arg("x"), py::arg("rng"), py::kw_only(), py::arg("rate"),
      py::arg("purpose") = static_cast<uint32_t>(kPhiloxDropout), none("y"));
};

}  // namespace

}  // namespace pyconv
