// From a tile's sums, which lie in registers, to what a convolution writes: bias, ReLU, normalisation, pooling,
// and the sums over all pixels that a batch normalisation behind it, or the gradient of one before it, asks for.
#pragma once

#include <type_traits>

#include "batch_norm.cuh"
#include "conv2d_tile.cuh"
#include "pooled.cuh"

namespace pyconv::cuda {

// Which sums a kernel takes of what it writes: Conv2dEpilogue's statistics, BatchNormReduction's products.
enum class Takes { kNothing, kMoments, kProducts };

struct Epilogue {
  const float* bias = nullptr;
  int32_t relu = 0;
  ScaleShift output{};
  float* y = nullptr;  // null: pooled alone
  float* pooled = nullptr;
  uint8_t* argmax = nullptr;
  const float* sign = nullptr;  // of each channel, for the pooling; null: maxima
  Takes takes = Takes::kNothing;
  double* parts = nullptr;  // of the sums, one a block along x
  // for products
  const float *x = nullptr, *mean = nullptr;
  ScaleShift closes{};
};

namespace {

inline Epilogue epilogue_of(const float* bias, const Conv2dEpilogue& e, float* y, double* parts) {
  Epilogue made;
  made.bias = bias, made.relu = e.relu, made.output = e.output, made.y = y;
  made.pooled = e.pooled, made.argmax = e.argmax;
  if (e.statistics.mean) made.takes = Takes::kMoments, made.sign = e.statistics.gamma, made.parts = parts;
  return made;
}

inline Epilogue epilogue_of(const BatchNormReduction& r, float* dx, double* parts) {
  Epilogue made;
  made.takes = Takes::kProducts, made.y = dx, made.parts = parts;
  made.x = r.x, made.mean = r.mean, made.closes = r.normalization;
  return made;
}

PYCONV_DEVICE Pack<2> channel_pair(const float* of, int c, float missing) {
  return of ? Pack<2>{{of[c], of[c + 1]}} : Pack<2>{{missing, missing}};
}
PYCONV_DEVICE float rectify(float v) {
  return v < 0 ? 0 : v;
}

// An element at a time: bias, ReLU and output.
PYCONV_DEVICE float finished(const Epilogue& e, int64_t c, float sum) {
  float v = e.bias ? sum + e.bias[c] : sum;
  if (e.relu) v = rectify(v);
  if (!e.output.scale) return v;
  return scale_shift(v, e.output.scale[c], e.output.shift[c], e.output.relu);
}

// Of a block, which goes through several tiles: S is how its warps share them.
template <class S, Takes kTakes>
struct TileEpilogue {
  using T = typename S::T;
  using Part = std::conditional_t<kTakes == Takes::kProducts, Products, Moments>;
  static constexpr int kOwn = 2 * S::kColumnFragments;  // columns of a lane
  // What shared memory the end asks for.
  static constexpr size_t kSharedBytes = kTakes == Takes::kNothing ? 0 : S::kAlong * S::kColumns * sizeof(Part);

  float about[kOwn] = {}, first[kOwn] = {}, second[kOwn] = {};
  int count = 0;  // pixels so far

  // `column`: the block's first output channel.
  PYCONV_DEVICE void tile(const Epilogue& e, const Correlation3x3& s, const TilePlace& place, int column,
                          typename S::Sums& sums) {
    int pixels[S::kRowFragments][2];
#pragma unroll
    for (int i = 0; i < S::kRowFragments; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half) pixels[i][half] = place.output<T>(s, S::pixel(i, half));
#pragma unroll
    for (int j = 0; j < S::kColumnFragments; ++j) {
      const int c = column + S::column(j);
      if (c >= s.K) continue;
      finish(e, c, sums, j);
      if constexpr (kTakes != Takes::kNothing) take(e, s, c, pixels, sums, j);
      if (!e.y) continue;
#pragma unroll
      for (int i = 0; i < S::kRowFragments; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half)
          if (pixels[i][half] >= 0)
            store(e.y + int64_t{pixels[i][half]} * s.K + c,
                  Pack<2>{{sums[i][j][2 * half], sums[i][j][2 * half + 1]}});
    }
    if constexpr (kTakes == Takes::kMoments) {
#pragma unroll
      for (int i = 0; i < S::kRowFragments; ++i) count += (pixels[i][0] >= 0) + (pixels[i][1] >= 0);
    }
    if (e.pooled) pool(e, s, place, column, sums);
  }

  // Writes the block's part of the sums.
  PYCONV_DEVICE void end(const Epilogue& e, const Correlation3x3& s, int column, int part) const {
    if constexpr (kTakes != Takes::kNothing) {
      Part* joined = shared<Part>();
      barrier();  // nobody needs the shared memory any more
#pragma unroll
      for (int k = 0; k < kOwn; ++k) {
        Part mine;
        if constexpr (kTakes == Takes::kMoments)
          mine = Moments::of(count, about[k], first[k], second[k]);
        else
          mine = {first[k], second[k]};
        for (int mask = 4; mask < kWarp; mask *= 2) mine.merge(mine.of_lane(mask));
        if (lane_index() < 4) joined[S::along() * S::kColumns + S::column(k / 2) + k % 2] = mine;
      }
      barrier();
      const int c = column + thread_index();
      if (thread_index() >= S::kColumns || c >= s.K) return;
      Part all = joined[thread_index()];
      for (int along = 1; along < S::kAlong; ++along) all.merge(joined[along * S::kColumns + thread_index()]);
      all.write(e.parts, part, s.K, c);
    }
  }

 private:
  static PYCONV_DEVICE void finish(const Epilogue& e, int c, typename S::Sums& sums, int j) {
    const Pack<2> bias = channel_pair(e.bias, c, 0);
    const Pack<2> scale = channel_pair(e.output.scale, c, 1), shift = channel_pair(e.output.shift, c, 0);
#pragma unroll
    for (int i = 0; i < S::kRowFragments; ++i)
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        float& v = sums[i][j][k];
        v += bias.v[k % 2];
        if (e.relu) v = rectify(v);
        if (!e.output.scale) continue;
        v = scale_shift(v, scale.v[k % 2], shift.v[k % 2], e.output.relu);
      }
  }

  PYCONV_DEVICE void take(const Epilogue& e, const Correlation3x3& s, int c,
                          const int (&pixels)[S::kRowFragments][2], const typename S::Sums& sums, int j) {
    if constexpr (kTakes == Takes::kMoments) {
      if (count == 0) {  // any number near the values will do
        about[2 * j] = sums[0][j][0];
        about[2 * j + 1] = sums[0][j][1];
      }
    }
    Pack<2> mean, scale, shift;
    if constexpr (kTakes == Takes::kProducts) {
      mean = channel_pair(e.mean, c, 0);
      scale = channel_pair(e.closes.relu ? e.closes.scale : nullptr, c, 0);
      shift = channel_pair(e.closes.relu ? e.closes.shift : nullptr, c, 1);
    }
#pragma unroll
    for (int i = 0; i < S::kRowFragments; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        if (pixels[i][half] < 0) continue;
        Pack<2> x;
        if constexpr (kTakes == Takes::kProducts) x = load<2>(e.x + int64_t{pixels[i][half]} * s.K + c);
#pragma unroll
        for (int k = 0; k < 2; ++k) {
          const float v = sums[i][j][2 * half + k];
          if constexpr (kTakes == Takes::kMoments) {
            const float d = v - about[2 * j + k];
            first[2 * j + k] += d;
            second[2 * j + k] += d * d;
          } else if constexpr (kTakes == Takes::kProducts) {
            const float d = masked_by_relu(v, x.v[k], scale.v[k], shift.v[k], 0.0f);
            first[2 * j + k] += d;
            second[2 * j + k] += d * (x.v[k] - mean.v[k]);
          }
        }
      }
  }

  // A window's four values lie in two lanes: rows side by side in one, columns in lanes that differ by 4.
  static PYCONV_DEVICE void pool(const Epilogue& e, const Correlation3x3& s, const TilePlace& place, int column,
                                 const typename S::Sums& sums) {
    constexpr bool kRowsOfSixteen = T::kWidth == 16;
#pragma unroll
    for (int window = 0; window < S::kRowFragments; ++window) {
      const int i = kRowsOfSixteen ? window / 2 * 2 : window, half = kRowsOfSixteen ? window % 2 : 0;
      const int pixel = S::pixel(i, half), h = (place.h + pixel / T::kWidth) / 2;
      const int w = (place.w + pixel % T::kWidth) / 2;
      const bool mine = lane_index() / 4 % 2 == 0 && place.output<T>(s, pixel) >= 0;
      const int64_t to = int64_t{(place.n * (s.OH / 2) + h) * (s.OW / 2) + w} * s.K;
#pragma unroll
      for (int j = 0; j < S::kColumnFragments; ++j) {
        const int c = column + S::column(j);
        const bool writes = mine && c < s.K;
        Pack<2> best;
        Pack<2, uint8_t> taps;
#pragma unroll
        for (int k = 0; k < 2; ++k) {
          const float upper = sums[i][j][2 * half + k];
          const float lower =
              kRowsOfSixteen ? sums[(i + 1) % S::kRowFragments][j][2 * half + k] : sums[i][j][2 + k];
          const float values[4] = {upper, shuffle_xor(upper, 4), lower, shuffle_xor(lower, 4)};
          const Pooled pooled(writes && e.sign ? Pooled::sign_of(e.sign[c + k]) : 1, values);
          best.v[k] = pooled.value;
          taps.v[k] = static_cast<uint8_t>(pooled.tap);
        }
        if (!writes) continue;
        store(e.pooled + to + c, best);
        if (e.argmax) store(e.argmax + to + c, taps);
      }
    }
  }
};

}  // namespace
}  // namespace pyconv::cuda
