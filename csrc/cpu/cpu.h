// What every CPU kernel file includes. These files are compiled once per instruction set into the namespace
// pyconv::cpu::<isa>; an inline function or template instance that escaped it could replace the baseline's
// copy at link time, so no standard library templates here (tests/test_isolation.py looks with nm).
#pragma once

#include "../entries.h"
#include "../parallel.h"
#include "vec.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {

namespace {

PYCONV_INLINE int64_t min(int64_t a, int64_t b) {
  return a < b ? a : b;
}
PYCONV_INLINE int64_t max(int64_t a, int64_t b) {
  return a > b ? a : b;
}
PYCONV_INLINE int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
PYCONV_INLINE int64_t round_up(int64_t a, int64_t b) {
  return ceil_div(a, b) * b;
}

// parallel_for with a callable; the lambda's type keeps each instance local to its file.
template <class Function>
PYCONV_INLINE void parallel(int64_t chunks, const Function& function) {
  parallel_for(
      chunks, [](void* data, int64_t chunk) { (*static_cast<const Function*>(data))(chunk); },
      const_cast<void*>(static_cast<const void*>(&function)));
}

// Chunk `i` of `chunks` nearly equal parts of [0, size), cut at multiples of `align`. Their product fits int64
// where one of them is small.
struct Range {
  int64_t begin, end;
};
PYCONV_INLINE Range chunk_range(int64_t size, int64_t chunks, int64_t i, int64_t align = 1) {
  const int64_t blocks = ceil_div(size, align);
  return {min(size, blocks * i / chunks * align), min(size, blocks * (i + 1) / chunks * align)};
}

// The same where chunks are as many as sizes may be large.
PYCONV_INLINE Range long_chunk_range(int64_t size, int64_t chunks, int64_t i, int64_t align = 1) {
  const __int128 blocks = ceil_div(size, align);
  const auto at = [&](int64_t k) { return min(size, static_cast<int64_t>(blocks * k / chunks) * align); };
  return {at(i), at(i + 1)};
}

// How many chunks to cut `size` elements of elementwise work into: at least `grain` each, at most 256. None for
// nothing: it has no rows to walk, however many its shape says.
PYCONV_INLINE int64_t elementwise_chunks(int64_t size, int64_t grain = 16384) {
  return size ? max(1, min(256, size / grain)) : 0;
}

// a * b steps of work, as far as matters to their number of chunks.
PYCONV_INLINE int64_t steps_of(int64_t a, int64_t b) {
  constexpr int64_t kEnough = int64_t{1} << 31;
  return min(a, kEnough) * min(b, kEnough);
}

}  // namespace

PYCONV_KERNELS(PYCONV_DECLARE_ENTRY)
PYCONV_FUSED_KERNELS(PYCONV_DECLARE_FUSED_ENTRY)

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
