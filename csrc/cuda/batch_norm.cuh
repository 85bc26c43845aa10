// Batch normalisation's sums: what a block's threads collect, and how parts of them become statistics or
// coefficients, for batch_norm.cu and for the convolutions that take the sums on the way.
#pragma once

#include "cuda.h"

namespace pyconv::cuda {

// The mean and squared deviations of some values; Chan, Golub and LeVeque, "Updating formulae and a pairwise
// algorithm", 1979.
struct Moments {
  double count = 0, mean = 0, squares = 0;

  PYCONV_DEVICE void merge(const Moments& other) {
    const double total = count + other.count, delta = other.mean - mean;
    if (other.count == 0) return;
    mean += delta * (other.count / total);
    squares += other.squares + delta * delta * (count * other.count / total);
    count = total;
  }
  // From sums of (value - about) and of its square.
  static PYCONV_DEVICE Moments of(int64_t values, float about, float sum, float sum_of_squares) {
    if (!values) return {};
    const double n = static_cast<double>(values), mean = sum / n;
    return {n, about + mean, sum_of_squares - n * mean * mean};
  }
  PYCONV_DEVICE Moments of_lane(int mask) const {
    return {shuffle_xor(count, mask), shuffle_xor(mean, mask), shuffle_xor(squares, mask)};
  }
  // Parts lie in memory as (parts, 3, C).
  static constexpr int kNumbers = 3;
  PYCONV_DEVICE void write(double* parts, int64_t part, int64_t C, int64_t c) const {
    double* mine = parts + part * kNumbers * C + c;
    mine[0] = count, mine[C] = mean, mine[2 * C] = squares;
  }
  static PYCONV_DEVICE Moments read(const double* parts, int64_t part, int64_t C, int64_t c) {
    const double* mine = parts + part * kNumbers * C + c;
    return {mine[0], mine[C], mine[2 * C]};
  }
};

// Sums of d and of d * (x - mean).
struct Products {
  double sum = 0, product = 0;

  PYCONV_DEVICE void merge(const Products& other) { sum += other.sum, product += other.product; }
  PYCONV_DEVICE Products of_lane(int mask) const { return {shuffle_xor(sum, mask), shuffle_xor(product, mask)}; }
  static constexpr int kNumbers = 2;
  PYCONV_DEVICE void write(double* parts, int64_t part, int64_t C, int64_t c) const {
    double* mine = parts + part * kNumbers * C + c;
    mine[0] = sum, mine[C] = product;
  }
  static PYCONV_DEVICE Products read(const double* parts, int64_t part, int64_t C, int64_t c) {
    const double* mine = parts + part * kNumbers * C + c;
    return {mine[0], mine[C]};
  }
};

// Bytes of the parts that reduce_* below write.
size_t batch_norm_parts_bytes(int64_t M, int64_t C);

// Moments of x (M, C), and of what a reduction takes of dy (M, C), in one kernel and a merging one.
Status reduce_statistics(const Context&, int64_t M, int64_t C, const float* x, const BatchNormStatistics&,
                         double* parts);
Status reduce_gradients(const Context&, int64_t M, int64_t C, const float* dy, const BatchNormReduction&,
                        double* parts);

// From parts that somebody else wrote.
Status merge_statistics(const Context&, int64_t M, int64_t C, const double* parts, int64_t count,
                        const BatchNormStatistics&);
Status merge_gradients(const Context&, int64_t C, const double* parts, int64_t count, const BatchNormReduction&);

}  // namespace pyconv::cuda
