// What ops of rows of classes are given to compare with.
#pragma once

#include "call.h"

namespace pyconv {

// Labels (N), or rows (N, K): the other one is null.
struct Target {
  const Tensor *labels, *rows;
};

// The target beside `scores` (N, K), checked but for the labels' range.
Target target_of(const Op& op, const Tensor& target, const char* name, const Tensor& scores);

// Refuses labels outside [0, K). A program's labels are not there yet when it is recorded: whoever fills them
// checks.
void check_labels(const Op& op, const Target& target, int64_t K);

// A label smoothing, from 0 to 1.
float label_smoothing(const Op& op, const py::object& value);

}  // namespace pyconv
