#include <pybind11/stl.h>

#include "call.h"

namespace pyconv {

namespace {

const Bindings adam_bindings = [](py::module_& module) {
  module.def(
      "adam",
      [](const Tensor& dweight, const Tensor& weight_in, const Tensor& m_in, const Tensor& v_in,
         const Tensor& hyper, const py::object& l2_given, const OptionalTensor& guard) {
        const Op op("adam", dweight);
        const Tensor weight = output(op, "weight", weight_in, dweight.shape);
        const Tensor m = output(op, "m", m_in, dweight.shape);
        const Tensor v = output(op, "v", v_in, dweight.shape);
        check_shape(op, "hyper", hyper, {4});
        const float l2 = number(op, "l2", l2_given);
        check_shape(op, "guard", guard, {1}, DType::kFloat64);
        submit(op, op.kernels->adam, dweight.size(), l2, hyper, guard, dweight, weight, m, v);
      },
      py::arg("dweight"), py::arg("weight"), py::arg("m"), py::arg("v"), py::arg("hyper"), py::kw_only(),
      py::arg("l2") = 0.0f, none("guard"));
};

}  // namespace

}  // namespace pyconv
