#include "target.h"

namespace pyconv {

Target target_of(const Op& op, const Tensor& target, const char* name, const Tensor& scores) {
  check_ndim(op, name, scores, 2, "(N, K)");
  if (target.dtype == DType::kInt32) {
    check_shape(op, "target", target, {scores.shape[0]}, DType::kInt32);
    return {&target, nullptr};
  }
  check_shape(op, "target", target, scores.shape);
  return {nullptr, &target};
}

void check_labels(const Op& op, const Target& target, int64_t K) {
  if (!target.labels || Program::recording()) return;
  const Tensor values = on_host(*target.labels);
  for (int64_t n = 0; n < values.size(); ++n)
    if (const int32_t label = values.as<int32_t>()[n]; label < 0 || label >= K)
      fail(op, "target has label ", label, " at ", n, ", expected labels from 0 to ", K - 1);
}

float label_smoothing(const Op& op, const py::object& value) {
  const float smoothing = number(op, "label_smoothing", value, false);
  if (!(smoothing >= 0 && smoothing <= 1)) fail(op, "label_smoothing is ", smoothing, ", expected from 0 to 1");
  return smoothing;
}

}  // namespace pyconv
