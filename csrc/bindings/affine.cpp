#include <pybind11/stl.h>

#include "batch.h"

namespace pyconv {

namespace {

FillMode fill_mode_of(const py::object& given) {
  const std::string name = word("affine", "fill_mode", given, "'nearest', 'constant' or 'reflect'");
  if (name == "nearest") return FillMode::kNearest;
  if (name == "constant") return FillMode::kConstant;
  if (name == "reflect") return FillMode::kReflect;
  fail("affine", "fill_mode is '", name, "', expected 'nearest', 'constant' or 'reflect'");
}

Tensor affine(const Tensor& source, const Tensor& matrix, const OptionalTensor& index, const OptionalTensor& scale,
              const OptionalTensor& shift, const py::object& fill_mode, const py::object& fill_value,
              const OptionalTensor& out) {
  const Op op("affine", source);
  check_ndim(op, "source", source, 4, "(M, H, W, C)");
  check_ndim(op, "matrix", matrix, 2, "(N, 6)");
  check_shape(op, "matrix", matrix, {matrix.shape[0], 6});
  const Shape& x = source.shape;
  const AffineShape s{
      matrix.shape[0], x[0], x[1], x[2], x[3], fill_mode_of(fill_mode), number(op, "fill_value", fill_value)};
  check_batch(op, source, index, scale, shift, s.N);
  const Tensor y = output(op, "y", out, {s.N, s.H, s.W, s.C});
  submit(op, op.kernels->affine, s, source.dtype, source, index, matrix, scale, shift, y);
  return y;
}

Tensor random_affine(const Tensor& rng, const Tensor& index, const py::object& height, const py::object& width,
                     const py::object& rotation_range, const py::object& height_shift_range,
                     const py::object& width_shift_range, const py::object& horizontal_flip,
                     const py::object& vertical_flip, const OptionalTensor& out) {
  const Op op("random_affine", index);
  check_shape(op, "rng", rng, {4}, DType::kUint32);
  check_ndim(op, "index", index, 1, "(N,)");
  check_dtype(op, "index", index, DType::kInt32);
  const auto pixels = [&op](const char* name, const py::object& value) {
    return integer(op, name, value, 0, kMostAttribute);
  };
  const auto range = [&op](const char* name, const py::object& value) {
    const float size = number(op, name, value, false);
    if (!(size >= 0)) fail(op, name, " is ", size, ", expected at least 0");
    return size;
  };
  const RandomAffineShape s{index.shape[0],
                            pixels("height", height),
                            pixels("width", width),
                            range("rotation_range", rotation_range),
                            range("height_shift_range", height_shift_range),
                            range("width_shift_range", width_shift_range),
                            flag(op, "horizontal_flip", horizontal_flip),
                            flag(op, "vertical_flip", vertical_flip)};
  const Tensor matrix = output(op, "matrix", out, {s.N, 6});
  submit(op, op.kernels->random_affine, s, rng, index, matrix);
  return matrix;
}

const Bindings affine_bindings = [](py::module_& module) {
  module.def("affine", &affine, py::arg("source"), py::arg("matrix"), none("index"), py::kw_only(), none("scale"),
             none("shift"), py::arg("fill_mode") = "nearest", py::arg("fill_value") = 0.0f, none("y"));
  module.def("random_affine", &random_affine, py::arg("rng"), py::arg("index"), py::kw_only(), py::arg("height"),
             py::arg("width"), py::arg("rotation_range") = 0.0f, py::arg("height_shift_range") = 0.0f,
             py::arg("width_shift_range") = 0.0f, py::arg("horizontal_flip") = false,
             py::arg("vertical_flip") = false, none("matrix"));
};

}  // namespace

}  // namespace pyconv
