#include <pybind11/stl.h>

#include "call.h"

namespace pyconv {

namespace {

constexpr const char* kOp = "softmax_cross_entropy";

// A program's labels are not there yet when it is recorded: whoever fills them checks.
void check_labels(const Tensor& labels, int64_t K) {
  if (Program::recording()) return;
  const Tensor values = on_host(labels);
  for (int64_t n = 0; n < labels.size(); ++n)
    if (const int32_t label = values.as<int32_t>()[n]; label < 0 || label >= K)
      fail(kOp, "target has label ", label, " at ", n, ", expected labels from 0 to ", K - 1);
}

const Bindings softmax_cross_entropy_bindings = [](py::module_& module) {
  module.def(
      kOp,
      [](const Tensor& logits, const Tensor& target, const py::object& smoothing,
         std::optional<float> gradient_scale, bool gradient, const OptionalTensor& loss_out,
         const OptionalTensor& dlogits_out) -> std::pair<Tensor, OptionalTensor> {
        const Op op(kOp, logits);
        check_ndim(op, "logits", logits, 2, "(N, K)");
        const int64_t N = logits.shape[0], K = logits.shape[1];
        const bool integer = target.dtype == DType::kInt32;
        if (integer) {
          check_shape(op, "target", target, {N}, DType::kInt32);
          check_labels(target, K);
        } else {
          check_shape(op, "target", target, logits.shape);
        }
        const float label_smoothing = number(op, "label_smoothing", smoothing, false);
        if (!(label_smoothing >= 0 && label_smoothing <= 1))
          fail(op, "label_smoothing is ", label_smoothing, ", expected from 0 to 1");
        const float scale = gradient_scale.value_or(1.0f / static_cast<float>(std::max<int64_t>(N, 1)));
        const Tensor loss = output(op, "loss", loss_out, {N});
        OptionalTensor dlogits;
        if (gradient) dlogits = output(op, "dlogits", dlogits_out, logits.shape);
        submit(op, op.kernels->softmax_cross_entropy, ClassShape{N, K, label_smoothing, scale}, logits,
               integer ? &target : nullptr, integer ? nullptr : &target, loss, dlogits);
        return {loss, dlogits};
      },
      py::arg("logits"), py::arg("target"), py::kw_only(), py::arg("label_smoothing") = 0.0f,
      none("gradient_scale"), py::arg("gradient") = true, none("loss"), none("dlogits"));
};

}  // namespace

}  // namespace pyconv
