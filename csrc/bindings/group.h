// The contract's structs with pointers, made from Python's dicts of the same names:
// epilogue={"relu": True, "statistics": {"epsilon": 1e-3, "gamma": gamma, ...}, "y": ...}. What is not there, or
// None, is null, or false; numbers have to be there. A key that is no field's name is refused.
#pragma once

#include <map>

#include "call.h"

namespace pyconv {

// A struct, and the tensors that its pointers point to.
template <class S>
struct Group {
  S value{};
  std::vector<Tensor> tensors;
};

// The shapes of a group's arrays by their names; (C) of all that are not named.
struct GroupShapes {
  int64_t C;
  std::map<std::string, Shape> named;

  Shape of(const std::string& name) const {
    const auto found = named.find(name);
    return found == named.end() ? Shape{C} : found->second;
  }
};

class GroupReader {
 public:
  GroupReader(const Op& op, const GroupShapes& shapes, std::vector<Tensor>& tensors)
      : op_(op), shapes_(shapes), tensors_(tensors) {}

  template <class S>
  void read(S& fields, const char* group, const py::object& given) const {
    if (given.is_none()) return;
    visit_fields(fields, [&](const char* names, auto&... field) {
      const std::vector<Parameter> known = parameters_of(names);
      const py::dict items = dict_of(group, given, known, names);
      size_t i = 0;
      (read_field(field, known[i++].name.c_str(), items), ...);
    });
  }

 private:
  template <class T>
  void read_field(T& field, const char* name, const py::dict& items) const {
    const py::object value = items.contains(name) ? py::object(items[name]) : py::none();
    if constexpr (std::is_pointer_v<T>) {
      using Element = std::remove_cv_t<std::remove_pointer_t<T>>;
      if (!value.is_none()) field = static_cast<T>(array(name, value, dtype_of_type<Element>(), WritesTo<T>));
    } else if constexpr (HoldsPointers<T>) {
      read(field, name, value);
    } else if constexpr (std::same_as<T, int32_t>) {
      field = !value.is_none() && flag(op_, name, value);
    } else if constexpr (std::same_as<T, float>) {
      field = number(op_, name, value);
    } else {
      field = integer(op_, name, value, 0, INT64_MAX);
    }
  }

  py::dict dict_of(const char* group, const py::object& given, const std::vector<Parameter>& known,
                   const char* names) const;
  void* array(const char* name, const py::object& value, DType dtype, bool written) const;

  const Op& op_;
  const GroupShapes& shapes_;
  std::vector<Tensor>& tensors_;
};

// Reads a group; None is the empty one.
template <class S>
Group<S> group_of(const Op& op, const char* name, const py::object& given, const GroupShapes& shapes) {
  Group<S> group;
  GroupReader(op, shapes, group.tensors).read(group.value, name, given);
  return group;
}

}  // namespace pyconv
