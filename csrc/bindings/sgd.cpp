#include <pybind11/stl.h>

#include "call.h"

namespace pyconv {

namespace {

const Bindings sgd_bindings = [](py::module_& module) {
  module.def(
      "sgd",
      [](const Tensor& dweight, const Tensor& weight_in, const OptionalTensor& velocity_in, const Tensor& hyper,
         const py::object& l2_given, const py::object& nesterov_given, const OptionalTensor& guard) {
        const Op op("sgd", dweight);
        const Tensor weight = output(op, "weight", weight_in, dweight.shape);
        OptionalTensor velocity;
        if (velocity_in) velocity = output(op, "velocity", velocity_in, dweight.shape);
        check_shape(op, "hyper", hyper, {4});
        const float l2 = number(op, "l2", l2_given);
        const bool nesterov = flag(op, "nesterov", nesterov_given);
        check_shape(op, "guard", guard, {1}, DType::kFloat64);
        submit(op, op.kernels->sgd, dweight.size(), l2, nesterov, hyper, guard, dweight, weight, velocity);
      },
      py::arg("dweight"), py::arg("weight"), py::arg("velocity"), py::arg("hyper"), py::kw_only(),
      py::arg("l2") = 0.0f, py::arg("nesterov") = false, none("guard"));
};

}  // namespace

}  // namespace pyconv
