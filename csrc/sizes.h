// How large sizes may be, and the one product of them. Whoever makes an array or reads an attribute checks against
// these bounds (bindings/tensor.cpp, bindings/geometry.cpp); what kernels then multiply cannot leave int64:
//
// - An array, its sizes of 0 taken for 1, has at most kMostElements. So has an image with its padding, and windows
//   lie inside it (in ceil mode they overhang it by less than a stride), so that every offset of a tap, times a
//   row's size, is below kMostElements in magnitude.
// - A workspace is at most 2^13 times an array: 16 partial sums, 36 planes for 9 taps, columns rounded up to 16.
// - A stride or dilation larger than the padded image is cut to it (geometry.cpp): one output sees no difference.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pyconv {

constexpr int64_t kMostElements = int64_t{1} << 40;
// A stride, a padding, a dilation, a side of a window, a number of groups: what a 32-bit integer holds.
constexpr int64_t kMostAttribute = (int64_t{1} << 31) - 1;
// Of one block of memory: more than any machine has, and far from where a size_t ends.
constexpr size_t kMostBytes = size_t{1} << 46;

// a * b of numbers that are not negative; INT64_MAX where that is more.
inline int64_t product(int64_t a, int64_t b) {
  int64_t result = 0;
  return __builtin_mul_overflow(a, b, &result) ? INT64_MAX : result;
}

// Elements of an array; `zeros_count`: sizes of 0 taken for 1, which is what kernels may come to multiply.
template <class Shape>
int64_t elements(const Shape& shape, bool zeros_count = false) {
  int64_t result = 1;
  for (const int64_t extent : shape) result = product(result, zeros_count && extent == 0 ? 1 : extent);
  return result;
}

}  // namespace pyconv
