#include <pybind11/stl.h>

#include "call.h"

namespace pyconv {

namespace {

LinearShape shape_of(const char* op, const char* name, const Tensor& rows, const Tensor& weight, bool transposed) {
  check_ndim(op, name, rows, 2, transposed ? "(N, C_out)" : "(N, C_in)");
  check_ndim(op, "weight", weight, 2, "(C_in, C_out)");
  if (weight.shape[0] < 1 || weight.shape[1] < 1)
    fail(op, "weight has shape ", shape_text(weight.shape), ", expected at least 1 input and 1 output");
  if (rows.shape[1] != weight.shape[transposed])
    fail(op, "weight has ", weight.shape[transposed], transposed ? " outputs, " : " inputs, ", name, " has ",
         rows.shape[1]);
  return {rows.shape[0], weight.shape[0], weight.shape[1]};
}

Needs needs(const Op& op, const LinearShape& shape, Conv2dPass pass) {
  return {op.kernels->linear_workspace(planning_context(), shape, pass)};
}

const Bindings linear_bindings = [](py::module_& module) {
  module.def(
      "linear",
      [](const Tensor& x, const Tensor& weight, const OptionalTensor& bias, const OptionalTensor& out) {
        const Op op("linear", x);
        const LinearShape s = shape_of(op, "x", x, weight, false);
        check_shape(op, "bias", bias, {s.C_out});
        const Tensor y = output(op, "y", out, {s.N, s.C_out});
        submit(op, needs(op, s, Conv2dPass::kForward), op.kernels->linear, s, x, weight, bias, y);
        return y;
      },
      py::arg("x"), py::arg("weight"), none("bias"), py::kw_only(), none("y"));
  module.def(
      "linear_backward_input",
      [](const Tensor& dy, const Tensor& weight, const OptionalTensor& out) {
        const Op op("linear_backward_input", dy);
        const LinearShape s = shape_of(op, "dy", dy, weight, true);
        const Tensor dx = output(op, "dx", out, {s.N, s.C_in});
        submit(op, needs(op, s, Conv2dPass::kBackwardInput), op.kernels->linear_backward_input, s, dy, weight, dx);
        return dx;
      },
      py::arg("dy"), py::arg("weight"), py::kw_only(), none("dx"));
  module.def(
      "linear_backward_weight",
      [](const Tensor& dy, const Tensor& x, bool bias, const OptionalTensor& dweight_out,
         const OptionalTensor& dbias_out) {
        const Op op("linear_backward_weight", dy);
        check_ndim(op, "x", x, 2, "(N, C_in)");
        check_ndim(op, "dy", dy, 2, "(N, C_out)");
        if (x.shape[1] < 1 || dy.shape[1] < 1)
          fail(op, "x has shape ", shape_text(x.shape), " and dy ", shape_text(dy.shape),
               ", expected at least 1 input and 1 output");
        const LinearShape s{x.shape[0], x.shape[1], dy.shape[1]};
        check_shape(op, "dy", dy, {s.N, s.C_out});
        const Tensor dweight = output(op, "dweight", dweight_out, {s.C_in, s.C_out});
        const OptionalTensor dbias =
            bias ? OptionalTensor(output(op, "dbias", dbias_out, {s.C_out})) : std::nullopt;
        submit(op, needs(op, s, Conv2dPass::kBackwardWeight), op.kernels->linear_backward_weight, s, dy, x,
               dweight, dbias);
        return std::pair<Tensor, OptionalTensor>(dweight, dbias);
      },
      py::arg("dy"), py::arg("x"), py::kw_only(), py::arg("bias") = true, none("dweight"), none("dbias"));
};

}  // namespace

}  // namespace pyconv
