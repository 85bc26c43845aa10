// The contract's signatures, as the bindings and the planner need them: which parameters are arrays, what they are
// called, and which of them a call writes.
#pragma once

#include <concepts>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include "../entries.h"

namespace pyconv {

// The fields of the contract's structs that hold pointers, with their names. The structured binding asks for all
// of them: a field that is missing here does not compile.
#define PYCONV_FIELDS(S, ...)                        \
  template <class Visit>                             \
  void visit_fields(S& fields, const Visit& visit) { \
    auto& [__VA_ARGS__] = fields;                    \
    visit(#__VA_ARGS__, __VA_ARGS__);                \
  }
PYCONV_FIELDS(ScaleShift, scale, shift, relu)
PYCONV_FIELDS(BatchNormStatistics, epsilon, momentum, gamma, beta, running_mean, running_variance, mean, rstd,
              scale, shift)
PYCONV_FIELDS(Conv2dEpilogue, relu, output, statistics, pooled, argmax)
PYCONV_FIELDS(BatchNormReduction, M, x, normalization, gamma, mean, rstd, dgamma, dbeta, coefficients)
PYCONV_FIELDS(Conv2dGradient, d, argmax, y, relu, normalization, coefficients, dy)
#undef PYCONV_FIELDS

template <class T, class... Others>
concept OneOf = (std::same_as<T, Others> || ...);

template <class T>
concept HoldsPointers =
    OneOf<T, ScaleShift, BatchNormStatistics, Conv2dEpilogue, BatchNormReduction, Conv2dGradient>;

// What holds no pointers: numbers and sizes.
template <class T>
concept Plain = std::is_arithmetic_v<T> || std::is_enum_v<T> ||
                OneOf<T, Conv2dShape, Pool2dShape, BatchNormShape, LinearShape, DropoutShape, ConcatenateShape,
                      ClassShape, GatherShape, AffineShape, RandomAffineShape>;

template <class T>
concept WritesTo = std::is_pointer_v<T> && !std::is_const_v<std::remove_pointer_t<T>>;

// The dtype that a pointer to T asks for.
template <class T>
constexpr DType dtype_of_type() {
  if constexpr (std::same_as<T, uint8_t>) return DType::kUint8;
  if constexpr (std::same_as<T, int32_t>) return DType::kInt32;
  if constexpr (std::same_as<T, uint32_t>) return DType::kUint32;
  if constexpr (std::same_as<T, double>) return DType::kFloat64;
  static_assert(OneOf<T, float, uint8_t, int32_t, uint32_t, double>, "what dtype is it?");
  return DType::kFloat32;
}

// A name of entries.h's lists: "y = x" is y, in the place of x.
struct Parameter {
  std::string name, in_place_of;
};

// "size, x, y = x", taken apart.
std::vector<Parameter> parameters_of(const char* names);

// The name of an op's parameter, counted from the one after the context.
std::string parameter_name(const char* op, size_t index);

}  // namespace pyconv
