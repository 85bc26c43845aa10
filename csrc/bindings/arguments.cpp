#include "arguments.h"

namespace pyconv {

namespace {

constexpr size_t kMostText = 80;            // characters of a value in a message
constexpr Py_ssize_t kMostDimensions = 64;  // as NumPy has it

template <class... Parts>
[[noreturn]] void fail_kind(const char* op, const char* name, const py::handle& value, const Parts&... expected) {
  throw py::type_error(message(op, name, " is ", shown(value), ", expected ", expected...));
}

std::string kind_of(const py::handle& value) {
  if (value.is_none()) return "None";
  const std::string name = Py_TYPE(value.ptr())->tp_name, last = name.substr(name.rfind('.') + 1);
  if (last == "ndarray") return "an array";
  return (std::string("aeiouAEIOU").find(last[0]) != std::string::npos ? "an " : "a ") + last;
}

bool is_bool(const py::handle& value) {
  if (PyBool_Check(value.ptr())) return true;
  const std::string kind = Py_TYPE(value.ptr())->tp_name;
  return kind == "numpy.bool_" || kind == "numpy.bool";
}

// numbers.Real: Python's, NumPy's and what registers there.
bool is_real(const py::handle& value) {
  if (PyFloat_Check(value.ptr()) || PyLong_Check(value.ptr())) return true;
  const py::object real = py::module_::import("numbers").attr("Real");
  return py::isinstance(value, real);
}

// The number as a Python int, or null where it is none.
py::object as_index(const py::handle& value) {
  auto index = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
  if (!index) PyErr_Clear();
  return index;
}

// A Python int, cut to what int64 holds.
int64_t clipped(const py::object& index) {
  int overflow = 0;
  const int64_t number = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
  return overflow > 0 ? INT64_MAX : overflow < 0 ? INT64_MIN : number;
}

bool is_sequence(const py::handle& value) {
  return PySequence_Check(value.ptr()) && !PyUnicode_Check(value.ptr()) && !PyBytes_Check(value.ptr());
}

}  // namespace

std::string shown(const py::handle& value) {
  try {
    if (kind_of(value) == "an array")
      return "an array of shape " + py::cast<std::string>(py::str(value.attr("shape")));
    const auto text = py::cast<std::string>(py::repr(value));
    if (text.size() <= kMostText && text.find('\n') == std::string::npos) return text;
  } catch (const py::error_already_set&) {  // a repr of the caller's own
  } catch (const py::cast_error&) {
  }
  return kind_of(value);
}

bool is_integer(const py::handle& value) {
  return PyIndex_Check(value.ptr()) && !is_bool(value) && as_index(value);
}

int64_t integer(const char* op, const char* name, const py::handle& value, int64_t least, int64_t most) {
  const py::object index = is_integer(value) ? as_index(value) : py::object();
  if (!index && least == INT64_MIN) fail_kind(op, name, value, "an integer");
  if (!index) fail_kind(op, name, value, "an integer of at least ", least);
  const int64_t number = clipped(index);
  if (number < least) fail(op, name, " is ", shown(value), ", expected at least ", least);
  if (number > most) fail(op, name, " is ", shown(value), ", expected at most ", most);
  return number;
}

float number(const char* op, const char* name, const py::handle& value, bool finite) {
  if (is_bool(value) || !is_real(value)) fail_kind(op, name, value, "a number");
  const double number = PyFloat_AsDouble(value.ptr());
  if (PyErr_Occurred()) PyErr_Clear();  // an int beyond a double gives -1 and OverflowError
  const auto narrow = static_cast<float>(number);
  const bool overflow = number == -1 && !value.equal(py::int_(-1));
  if (overflow || (finite && !(narrow - narrow == 0)))
    fail(op, name, " is ", shown(value), ", expected a finite number");
  return narrow;
}

bool flag(const char* op, const char* name, const py::handle& value) {
  if (is_bool(value)) return py::bool_(py::reinterpret_borrow<py::object>(value));
  if (PyLong_Check(value.ptr()) && (value.equal(py::int_(0)) || value.equal(py::int_(1))))
    return value.equal(py::int_(1));
  fail_kind(op, name, value, "True or False");
}

std::string word(const char* op, const char* name, const py::handle& value, const char* expected) {
  if (!py::isinstance<py::str>(value)) fail_kind(op, name, value, expected);
  Py_ssize_t size = 0;
  const char* text = PyUnicode_AsUTF8AndSize(value.ptr(), &size);
  if (text) return {text, static_cast<size_t>(size)};
  PyErr_Clear();  // a lone surrogate
  return "?";
}

Shape sizes(const char* op, const char* name, const py::handle& value, int64_t least) {
  const auto items = py::reinterpret_steal<py::object>(
      is_sequence(value) ? PySequence_Fast(value.ptr(), "expected a sequence") : nullptr);
  if (!items) {
    PyErr_Clear();
    fail_kind(op, name, value, "a tuple of sizes");
  }
  const Py_ssize_t count = PySequence_Fast_GET_SIZE(items.ptr());
  if (count > kMostDimensions) fail(op, name, " has ", count, " sizes, expected at most ", kMostDimensions);
  Shape shape;
  for (Py_ssize_t i = 0; i < count; ++i) {
    const py::handle item = PySequence_Fast_GET_ITEM(items.ptr(), i);
    const py::object index = is_integer(item) ? as_index(item) : py::object();
    if (!index) fail_kind(op, name, value, "a tuple of sizes, integers of at least ", least);
    shape.push_back(clipped(index));
    if (shape.back() < least)
      fail(op, name, " is ", shown(value), ", expected a tuple of sizes, integers of at least ", least);
  }
  return shape;
}

}  // namespace pyconv
