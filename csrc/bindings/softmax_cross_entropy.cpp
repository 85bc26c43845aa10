#include <pybind11/stl.h>

#include "target.h"

namespace pyconv {

namespace {

const Bindings softmax_cross_entropy_bindings = [](py::module_& module) {
  module.def(
      "softmax_cross_entropy",
      [](const Tensor& logits, const Tensor& target, const py::object& smoothing, const OptionalTensor& dloss,
         bool gradient, const OptionalTensor& loss_out,
         const OptionalTensor& dlogits_out) -> std::pair<Tensor, OptionalTensor> {
        const Op op("softmax_cross_entropy", logits);
        const auto [labels, rows] = target_of(op, target, "logits", logits);
        const int64_t N = logits.shape[0], K = logits.shape[1];
        check_labels(op, {labels, rows}, K);
        const ClassShape shape{N, K, label_smoothing(op, smoothing)};
        check_shape(op, "dloss", dloss, {N});
        const Tensor loss = output(op, "loss", loss_out, {N});
        OptionalTensor dlogits;
        if (gradient) dlogits = output(op, "dlogits", dlogits_out, logits.shape);
        submit(op, op.kernels->softmax_cross_entropy, shape, logits, labels, rows, dloss, loss, dlogits);
        return {loss, dlogits};
      },
      py::arg("logits"), py::arg("target"), py::kw_only(), py::arg("label_smoothing") = 0.0f, none("dloss"),
      py::arg("gradient") = true, none("loss"), none("dlogits"));
};

}  // namespace

}  // namespace pyconv
