// Batch normalisation's sums and what they make, for batch_norm.cpp and for the convolutions that take its sums on
// the way.
#pragma once

#include "../formulas.h"
#include "cpu.h"

namespace pyconv::cpu::PYCONV_CPU_ISA {
namespace {

// From the sums of x and x^2 over M rows of channel c.
PYCONV_INLINE void write_moments(const BatchNormStatistics& s, int64_t c, int64_t M, double sum, double squares) {
  const double count = static_cast<double>(max(1, M)), mean = sum / count;
  const double variance = squares / count - mean * mean;
  write_statistics(s, c, M, mean, variance < 0 ? 0 : variance);
}

// Two sums for each channel that a chunk takes of the pixels that it writes: in float over a block of pixels, in
// double from block to block. Statistics sum distances to a value near the mean, so that a large mean costs no
// digits.
struct ChannelSums {
  float *about, *first, *second;  // (channels), of this thread
  double* totals;                 // (2, channels), of this chunk
  int64_t channels;

  static PYCONV_INLINE_MEMBER int64_t scratch_floats(int64_t channels) { return 3 * channels; }
  static PYCONV_INLINE_MEMBER int64_t total_floats(int64_t channels) { return 4 * channels; }

  PYCONV_INLINE_MEMBER ChannelSums(int64_t count, float* scratch, double* chunk_totals)
      : about(scratch), first(scratch + count), second(first + count), totals(chunk_totals), channels(count) {}

  PYCONV_INLINE_MEMBER void start(int64_t begin, int64_t end) const {
    for (int64_t c = begin; c < end; ++c)
      about[c] = first[c] = second[c] = 0, totals[c] = totals[channels + c] = 0;
  }
  PYCONV_INLINE_MEMBER void add(int64_t c, Vec a, Vec b) const {
    store(first + c, load(first + c) + a);
    store(second + c, load(second + c) + b);
  }
  // After a block of `pixels`: statistics' sums of v - about and its square become those of v.
  PYCONV_INLINE_MEMBER void add_moments(int64_t begin, int64_t end, int64_t pixels) const {
    const double count = static_cast<double>(pixels);
    for (int64_t c = begin; c < end; ++c) {
      const double a = about[c], d = first[c];
      totals[c] += d + count * a;
      totals[channels + c] += second[c] + a * (2 * d + count * a);
      first[c] = second[c] = 0;
    }
  }
  PYCONV_INLINE_MEMBER void add_products(int64_t begin, int64_t end) const {
    for (int64_t c = begin; c < end; ++c) {
      totals[c] += first[c];
      totals[channels + c] += second[c];
      first[c] = second[c] = 0;
    }
  }
};

}  // namespace
}  // namespace pyconv::cpu::PYCONV_CPU_ISA
