#include <pybind11/stl.h>

#include "call.h"

namespace pyconv {

void bind_accuracy(py::module_& module) {
  module.def(
      "accuracy",
      [](const Tensor& scores, const Tensor& target, const OptionalTensor& out) {
        const Op op("accuracy", scores);
        check_dtype(op, "scores", scores, DType::kFloat32);
        check_ndim(op, "scores", scores, 2, "(N, K)");
        const int64_t N = scores.shape[0], K = scores.shape[1];
        const bool integer = target.dtype == DType::kInt32;
        check_shape(op, "target", target, integer ? Shape{N} : scores.shape,
                    integer ? DType::kInt32 : DType::kFloat32);
        const Tensor correct = output(op, "correct", out, {N});
        submit(op, {&scores, &target, &correct},
               [run = op.kernels->accuracy, shape = ClassShape{N, K, 0, 0}, scores = scores.as<float>(),
                labels = integer ? target.as<int32_t>() : nullptr,
                targets = integer ? nullptr : target.as<float>(), correct = correct.as<float>()](
                   const Context& context) { return run(context, shape, scores, labels, targets, correct); });
        return correct;
      },
      py::arg("scores"), py::arg("target"), py::kw_only(), py::arg("correct") = py::none());
}

}  // namespace pyconv
