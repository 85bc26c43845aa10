// What callers hand in, checked, as pyconv/arguments.py checks what stays in Python: one rule a kind of value, one
// form of message, `[op] name is VALUE, expected ...`. A value of another kind raises TypeError, one out of range
// ValueError.
#pragma once

#include <pybind11/pybind11.h>

#include <initializer_list>
#include <sstream>
#include <string>
#include <vector>

namespace pyconv {

namespace py = pybind11;

using Shape = std::vector<int64_t>;

template <class... Parts>
std::string message(const char* op, const Parts&... parts) {
  std::ostringstream text;
  text << "[" << op << "] ";
  (text << ... << parts);
  return text.str();
}

template <class... Parts>
[[noreturn]] void fail(const char* op, const Parts&... parts) {
  throw py::value_error(message(op, parts...));
}

// A value as an error shows it: its repr, or what kind of thing it is where that would be long.
std::string shown(const py::handle& value);

// Whether it is a whole number of any type; a bool is none.
bool is_integer(const py::handle& value);

// A whole number in [least, most]. INT64_MAX as `most` sets no bound: what int64 cannot hold is cut to it.
int64_t integer(const char* op, const char* name, const py::handle& value, int64_t least, int64_t most);

// A real number; `finite` refuses NaN and infinities, which a check of its range does as well.
float number(const char* op, const char* name, const py::handle& value, bool finite = true);

// True or False.
bool flag(const char* op, const char* name, const py::handle& value);

// A string.
std::string word(const char* op, const char* name, const py::handle& value, const char* expected);

// A sequence of sizes; what int64 cannot hold is cut to it, and refused by whoever counts elements.
Shape sizes(const char* op, const char* name, const py::handle& value, int64_t least = 0);

}  // namespace pyconv
