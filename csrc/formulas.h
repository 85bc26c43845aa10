// Formulas that every backend evaluates alike: of a value here, of a channel's few numbers, in double precision,
// below.
#pragma once

#include <math.h>

#include "kernels.h"
#include "philox.h"
#include "portable.h"

namespace pyconv {

// What a ScaleShift makes of v, a number or a vector of them: `low` is 0 where it has a ReLU, else -infinity. NaN
// passes.
template <class V>
PYCONV_PORTABLE V scale_shift(V v, V scale, V shift, V low) {
  v = scale * v + shift;
  return v < low ? low : v;
}

// The gradient d of what it makes of v, before its ReLU: 0 where the ReLU is closed.
template <class V>
PYCONV_PORTABLE V masked_by_relu(V d, V v, V scale, V shift, V low) {
  return scale * v + shift <= low ? V{} : d;
}

// What batch_norm writes for channel c, from its mean and (biased) variance over M rows.
PYCONV_PORTABLE void write_statistics(const BatchNormStatistics& s, int64_t c, int64_t M, double mean,
                                      double variance) {
  const double momentum = s.momentum, rstd = 1 / ::sqrt(variance + double{s.epsilon});
  const double scale = (s.gamma ? s.gamma[c] : 1) * rstd;
  s.mean[c] = static_cast<float>(mean);
  s.rstd[c] = static_cast<float>(rstd);
  s.scale[c] = static_cast<float>(scale);
  s.shift[c] = static_cast<float>((s.beta ? s.beta[c] : 0) - mean * double{s.scale[c]});
  // A NaN of one batch must not stay for ever.
  if (!M || !(mean - mean == 0) || !(variance - variance == 0)) return;
  if (s.running_mean) s.running_mean[c] = static_cast<float>(momentum * s.running_mean[c] + (1 - momentum) * mean);
  if (s.running_variance)
    s.running_variance[c] = static_cast<float>(momentum * s.running_variance[c] + (1 - momentum) * variance);
}

// y = scale * (x - mean) + shift, the mean taken off before scaling: what a float cannot hold of the mean goes
// into this shift. After write_statistics.
PYCONV_PORTABLE float shift_about_mean(const BatchNormStatistics& s, int64_t c, double mean) {
  return static_cast<float>((s.beta ? s.beta[c] : 0) - (mean - double{s.mean[c]}) * double{s.scale[c]});
}

// dx = scale * d + slope * (x - mean) + shift.
struct BatchNormGradient {
  double scale, slope, shift;
};
// The gradient of a batch normalisation over M rows of channel c, from the sums of d and d * (x - mean). Writes
// dgamma and dbeta (null to skip).
PYCONV_PORTABLE BatchNormGradient batch_norm_gradient(int64_t M, int64_t c, const float* gamma, const float* rstd,
                                                      double sum, double product, float* dgamma, float* dbeta) {
  const double count = static_cast<double>(M > 1 ? M : 1), r = rstd[c], scale = (gamma ? gamma[c] : 1) * r;
  if (dbeta) dbeta[c] = static_cast<float>(sum);
  if (dgamma) dgamma[c] = static_cast<float>(product * r);
  return {scale, -scale * r * (product * r) / count, -scale * sum / count};
}

// What a reduction writes for channel c, from the same sums.
PYCONV_PORTABLE void write_reduction(const BatchNormReduction& r, int64_t C, int64_t c, double sum,
                                     double product) {
  const BatchNormGradient g = batch_norm_gradient(r.M, c, r.gamma, r.rstd, sum, product, r.dgamma, r.dbeta);
  r.coefficients[c] = static_cast<float>(g.scale);
  r.coefficients[C + c] = static_cast<float>(g.slope);
  r.coefficients[2 * C + c] = static_cast<float>(g.shift - g.slope * r.mean[c]);
}

// What a batch normalisation multiplies by in prediction.
PYCONV_PORTABLE double inference_scale(float epsilon, int64_t c, const float* gamma, const float* variance) {
  return (gamma ? gamma[c] : 1) / ::sqrt(double{variance[c]} + double{epsilon});
}

// The ScaleShift of a batch normalisation in prediction.
PYCONV_PORTABLE void write_fold(float epsilon, int64_t c, const float* gamma, const float* beta, const float* mean,
                                const float* variance, float* scale, float* shift) {
  scale[c] = static_cast<float>(inference_scale(epsilon, c, gamma, variance));
  shift[c] = static_cast<float>((beta ? beta[c] : 0) - mean[c] * double{scale[c]});
}

// random_affine's matrix of one example: source - centre = R(angle) (flipped output - centre + shift), in
// (row, column) coordinates. state: rng with step 0.
PYCONV_PORTABLE void write_random_affine(const RandomAffineShape& s, const uint32_t* state, uint32_t example,
                                         float* matrix) {
  const PhiloxBlock block = philox(state, kPhiloxAugment, example);
  const double height = static_cast<double>(s.H), width = static_cast<double>(s.W);
  const double centre_row = height / 2 - 0.5, centre_column = width / 2 - 0.5;
  const auto draw = [&](int i, double range) { return range * (2.0 * philox_uniform(block.word[i]) - 1); };
  const double angle = draw(0, s.rotation_range) * (3.14159265358979323846 / 180);
  const double row_shift = draw(1, s.height_shift_range) * height;
  const double column_shift = draw(2, s.width_shift_range) * width;
  const bool flip_rows = s.vertical_flip && (block.word[3] >> 30 & 1);
  const bool flip_columns = s.horizontal_flip && block.word[3] >> 31;
  const double sine = ::sin(angle), cosine = ::cos(angle);
  const double row_sign = flip_rows ? -1 : 1, column_sign = flip_columns ? -1 : 1;
  const double row = (flip_rows ? height - 1 : 0) - centre_row + row_shift;
  const double column = (flip_columns ? width - 1 : 0) - centre_column + column_shift;
  const double m[6] = {cosine * row_sign, -sine * column_sign,  cosine * row - sine * column + centre_row,
                       sine * row_sign,   cosine * column_sign, sine * row + cosine * column + centre_column};
  for (int i = 0; i < 6; ++i) matrix[i] = static_cast<float>(m[i]);
}

}  // namespace pyconv
