// What every binding does between its checks and its return: run a kernel, now or in a recorded program.
#pragma once

#include <tuple>

#include "../backends.h"
#include "../memory.h"
#include "../program.h"
#include "arguments.h"
#include "signature.h"
#include "tensor.h"

namespace pyconv {

// What a binding is about to call, on which backend: the one of its first argument.
struct Op {
  const char* name;
  const Backend* backend;
  const Kernels* kernels;
  // Whether all that it writes is new: then nobody misses what an interruption leaves undone. `output` and
  // `submit` keep account; a binding that writes what it was given without `output` says so.
  mutable bool makes = false, writes_given = false;

  Op(const char* op, const Backend& on) : name(op), backend(&on), kernels(on.kernels) {}
  Op(const char* op, const Tensor& first) : Op(op, first.device ? *first.device : host_backend()) {}
  operator const char*() const { return name; }
};

// A context for the entries that a plan is made with: they look at how to compute alone.
inline Context planning_context(Conv2dAlgorithm algorithm = Conv2dAlgorithm::kAuto,
                                bool weights_are_prepared = false) {
  return {nullptr, precision(), algorithm, weights_are_prepared, nullptr, 0};
}

// What a call asks for besides its arguments.
struct Needs {
  size_t workspace_bytes = 0;
  Conv2dAlgorithm algorithm = Conv2dAlgorithm::kAuto;
};

inline Needs needs(const Op& op, const Conv2dShape& shape, Conv2dPass pass,
                   Conv2dAlgorithm algorithm = Conv2dAlgorithm::kAuto, bool weights_are_prepared = false) {
  return {op.kernels->conv2d_workspace(planning_context(algorithm, weights_are_prepared), shape, pass), algorithm};
}
inline Needs needs(const Op& op, const BatchNormShape& shape) {
  return {op.kernels->batch_norm_workspace(planning_context(), shape)};
}

// The tensors of one call, as it takes them: their addresses are had from here alone, so that a recorded program
// keeps every tensor alive that its kernels touch.
class Touched {
 public:
  static constexpr size_t kMost = 32;

  explicit Touched(const Op& op) : op_(op) {}

  // The value of the entry's next parameter, which is of type P.
  template <class P, class A>
  std::decay_t<P> take(const A& argument) {
    using T = std::decay_t<P>;
    const size_t parameter = parameters_++;
    if constexpr (std::is_pointer_v<T>) {
      const Tensor* tensor = pointer(argument);
      if (!tensor) return nullptr;
      using Element = std::remove_cv_t<std::remove_pointer_t<T>>;
      if constexpr (!std::is_void_v<Element>)
        if (tensor->dtype != dtype_of_type<Element>()) refuse_dtype(parameter, *tensor, dtype_of_type<Element>());
      if (WritesTo<T> && tensor->read_only) refuse_writing(parameter);
      add(*tensor);
      return static_cast<T>(tensor->data);
    } else if constexpr (HoldsPointers<T>) {
      for (const Tensor& tensor : argument.tensors) add(tensor);  // of a Group (group.h)
      return argument.value;
    } else {
      static_assert(Plain<T>, "a struct with pointers goes into signature.h, one without into Plain");
      return static_cast<T>(argument);
    }
  }

  const Tensor* const* begin() const { return tensors_; }
  const Tensor* const* end() const { return tensors_ + count_; }

 private:
  static const Tensor* pointer(const Tensor& tensor) { return &tensor; }
  static const Tensor* pointer(const OptionalTensor& tensor) { return tensor ? &*tensor : nullptr; }
  static const Tensor* pointer(const Tensor* tensor) { return tensor; }

  void add(const Tensor& tensor) {
    if (tensor.functions() != op_.backend->device) refuse_device(tensor);
    if (count_ == kMost) throw std::logic_error("a call of too many arrays");
    tensors_[count_++] = &tensor;
  }
  [[noreturn]] void refuse_dtype(size_t parameter, const Tensor& tensor, DType expected) const;
  [[noreturn]] void refuse_writing(size_t parameter) const;
  [[noreturn]] void refuse_device(const Tensor& tensor) const;

  const Op& op_;
  const Tensor* tensors_[kMost];
  size_t count_ = 0, parameters_ = 0;
};

// Appends the call to the program that is recording, or runs it at once without the GIL; a signal's exception ends
// it then where all outputs are new.
void submit_bound(const Op& op, const Needs& needs, const Touched& touched, BoundKernel kernel);

// As `submit` below, of anything that can be called as an entry with parameters P can.
template <class... P, class Run, class... A>
void submit_as(Status (*)(const Context&, P...), const Op& op, const Needs& needs, const Run& run,
               const A&... arguments) {
  static_assert(sizeof...(P) == sizeof...(A), "an argument for each of the entry's parameters");
  Touched touched(op);
  const std::tuple<std::decay_t<P>...> values{touched.take<P>(arguments)...};  // in this order
  submit_bound(op, needs, touched, [run, values](const Context& context) {
    return std::apply([&](const auto&... value) { return run(context, value...); }, values);
  });
}

// Calls an entry, now or in a program: one argument for each of its parameters. Where it takes a pointer, the
// argument is a Tensor, an OptionalTensor, or a pointer to a Tensor (null: a null pointer): a pointer to const
// reads it, any other writes it, and its type says the dtype. Where it takes a struct with pointers, the argument
// is a Group (group.h).
template <class... P, class... A>
void submit(const Op& op, const Needs& needs, Status (*entry)(const Context&, P...), const A&... arguments) {
  submit_as(entry, op, needs, entry, arguments...);
}
template <class... P, class... A>
void submit(const Op& op, Status (*entry)(const Context&, P...), const A&... arguments) {
  submit_as(entry, op, {}, entry, arguments...);
}

// A file's additions to the module: a constant of this type, anywhere in the bindings, makes them.
class Bindings {
 public:
  using Add = void(py::module_&);
  template <class Function>
  Bindings(const Function& add) {
    all().push_back(add);
  }
  static std::vector<Add*>& all();
};

inline py::arg_v none(const char* name) {
  return py::arg(name) = py::none();
}

// ---- checks. Every message reads `[op] what was expected, and what came`.

void check_dtype(const char* op, const char* name, const Tensor& tensor, DType dtype);
void check_ndim(const char* op, const char* name, const Tensor& tensor, int64_t ndim, const char* layout);
void check_shape(const char* op, const char* name, const Tensor& tensor, const Shape& shape,
                 DType dtype = DType::kFloat32);
void check_shape(const char* op, const char* name, const OptionalTensor& tensor, const Shape& shape,
                 DType dtype = DType::kFloat32);

// The tensor to write to: `out` where it was given (checked; writable), else a new one on the op's device.
Tensor output(const Op& op, const char* name, const OptionalTensor& out, const Shape& shape,
              DType dtype = DType::kFloat32);

}  // namespace pyconv
