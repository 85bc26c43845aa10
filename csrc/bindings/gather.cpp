#include <pybind11/stl.h>

#include "batch.h"

namespace pyconv {

namespace {

Tensor gather(const Tensor& source, const OptionalTensor& index, const OptionalTensor& scale,
              const OptionalTensor& shift, const OptionalTensor& out) {
  const Op op("gather", source);
  if (source.ndim() < 2)
    fail(op, "source has shape ", shape_text(source.shape), ", expected at least 2 dimensions: (M, ..., C)");
  if (index) check_ndim(op, "index", *index, 1, "(N,)");
  GatherShape s{index ? index->shape[0] : source.shape[0], source.shape[0], 1, source.shape.back()};
  for (size_t i = 1; i < source.shape.size(); ++i) s.elements *= source.shape[i];
  check_batch(op, source, index, scale, shift, s.N);
  Shape shape = source.shape;
  shape[0] = s.N;
  const Tensor y = output(op, "y", out, shape);
  submit(op, op.kernels->gather, s, source.dtype, source, index, scale, shift, y);
  return y;
}

const Bindings gather_bindings = [](py::module_& module) {
  module.def("gather", &gather, py::arg("source"), none("index"), py::kw_only(), none("scale"), none("shift"),
             none("y"));
};

}  // namespace

}  // namespace pyconv
