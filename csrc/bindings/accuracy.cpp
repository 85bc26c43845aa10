#include <pybind11/stl.h>

#include "call.h"

namespace pyconv {

namespace {

const Bindings accuracy_bindings = [](py::module_& module) {
  module.def(
      "accuracy",
      [](const Tensor& scores, const Tensor& target, const OptionalTensor& out) {
        const Op op("accuracy", scores);
        check_ndim(op, "scores", scores, 2, "(N, K)");
        const int64_t N = scores.shape[0], K = scores.shape[1];
        const bool integer = target.dtype == DType::kInt32;
        check_shape(op, "target", target, integer ? Shape{N} : scores.shape,
                    integer ? DType::kInt32 : DType::kFloat32);
        const Tensor correct = output(op, "correct", out, {N});
        submit(op, op.kernels->accuracy, ClassShape{N, K, 0, 0}, scores, integer ? &target : nullptr,
               integer ? nullptr : &target, correct);
        return correct;
      },
      py::arg("scores"), py::arg("target"), py::kw_only(), none("correct"));
};

}  // namespace

}  // namespace pyconv
