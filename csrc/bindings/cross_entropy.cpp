#include <pybind11/stl.h>

#include "target.h"

namespace pyconv {

namespace {

const Bindings cross_entropy_bindings = [](py::module_& module) {
  module.def(
      "cross_entropy",
      [](const Tensor& x, const Tensor& target, const py::object& smoothing, const OptionalTensor& out) {
        const Op op("cross_entropy", x);
        const auto [labels, rows] = target_of(op, target, "x", x);
        check_labels(op, {labels, rows}, x.shape[1]);
        const Tensor loss = output(op, "loss", out, {x.shape[0]});
        const ClassShape shape{x.shape[0], x.shape[1], label_smoothing(op, smoothing)};
        submit(op, op.kernels->cross_entropy, shape, x, labels, rows, loss);
        return loss;
      },
      py::arg("x"), py::arg("target"), py::kw_only(), py::arg("label_smoothing") = 0.0f, none("loss"));
  module.def(
      "cross_entropy_backward",
      [](const Tensor& dloss, const Tensor& x, const Tensor& target, const py::object& smoothing,
         const OptionalTensor& out) {
        const Op op("cross_entropy_backward", dloss);
        const auto [labels, rows] = target_of(op, target, "x", x);
        check_labels(op, {labels, rows}, x.shape[1]);
        check_shape(op, "dloss", dloss, {x.shape[0]});
        const Tensor dx = output(op, "dx", out, x.shape);
        const ClassShape shape{x.shape[0], x.shape[1], label_smoothing(op, smoothing)};
        submit(op, op.kernels->cross_entropy_backward, shape, dloss, x, labels, rows, dx);
        return dx;
      },
      py::arg("dloss"), py::arg("x"), py::arg("target"), py::kw_only(), py::arg("label_smoothing") = 0.0f,
      none("dx"));
};

}  // namespace

}  // namespace pyconv
