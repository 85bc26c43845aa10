#include <pybind11/stl.h>

#include "target.h"

namespace pyconv {

namespace {

const Bindings accuracy_bindings = [](py::module_& module) {
  module.def(
      "accuracy",
      [](const Tensor& scores, const Tensor& target, const OptionalTensor& out) {
        const Op op("accuracy", scores);
        const auto [labels, rows] = target_of(op, target, "scores", scores);
        const int64_t N = scores.shape[0], K = scores.shape[1];
        const Tensor correct = output(op, "correct", out, {N});
        submit(op, op.kernels->accuracy, ClassShape{N, K, 0}, scores, labels, rows, correct);
        return correct;
      },
      py::arg("scores"), py::arg("target"), py::kw_only(), none("correct"));
};

}  // namespace

}  // namespace pyconv
