// A first layer's 3x3 convolution, of 1 to 3 channels: its nine taps x 3 channels are one product's depth of 32,
// and its weights stay in registers. Memory bounds it, so that bfloat16 is served in tf32.
#include "conv2d_epilogue.cuh"
#include "conv2d_gradient.cuh"

namespace pyconv::cuda {

namespace {

constexpr int kMostChannels = 3, kDepths = 4;  // 27 taps and channels, eight to a product
constexpr int kHaloFloats = Wide::kHalo * kMostChannels;

// Where tap k (kh, kw, channel) lies in the halo, from the window's first float; -1 beyond the last.
PYCONV_DEVICE int tap_in_halo(const Correlation3x3& s, int k) {
  const int row = 3 * s.C;
  return k < 3 * row ? k / row * Wide::kHaloWidth * s.C + k % row : -1;
}

// A tile's halo on its way from global memory, through registers, to one of two places in shared memory.
struct HaloLoader {
  static constexpr int kPixels = (Wide::kHalo + kTileThreads - 1) / kTileThreads;
  float values[kPixels][kMostChannels];

  PYCONV_DEVICE void fetch(const Correlation3x3& s, const float* x, int tile) {
    const TilePlace place = TilePlace::of<Wide>(tile, s);
#pragma unroll
    for (int i = 0; i < kPixels; ++i) {
      const int pixel = thread_index() + i * kTileThreads;
      const int from = pixel < Wide::kHalo ? place.input<Wide>(s, pixel) : -1;
#pragma unroll
      for (int c = 0; c < kMostChannels; ++c)
        values[i][c] = from >= 0 && c < s.C ? round_to_tf32(x[int64_t{from} * s.C + c]) : 0;
    }
  }
  PYCONV_DEVICE void put(const Correlation3x3& s, float* halo) const {
#pragma unroll
    for (int i = 0; i < kPixels; ++i) {
      const int pixel = thread_index() + i * kTileThreads;
#pragma unroll
      for (int c = 0; c < kMostChannels; ++c)
        if (pixel < Wide::kHalo && c < s.C) halo[pixel * s.C + c] = values[i][c];
    }
  }
};

// Calls body(tile, its halo) for the tiles of a block, the next one's halo on its way meanwhile.
template <class Body>
PYCONV_DEVICE void for_halos(const Correlation3x3& s, const float* x, const TileRange& range, const Body& body) {
  HaloLoader loader;
  loader.fetch(s, x, range.begin);
  loader.put(s, shared<float>());
  for (int tile = range.begin; tile < range.end; ++tile) {
    barrier();  // the halo is whole, and all are done with the other place
    if (tile + 1 < range.end) loader.fetch(s, x, tile + 1);
    body(tile, shared<float>() + (tile - range.begin) % 2 * kHaloFloats);
    if (tile + 1 < range.end) loader.put(s, shared<float>() + (tile + 1 - range.begin) % 2 * kHaloFloats);
  }
}

template <class S, Takes kTakes>
struct CorrelateFewChannels {
  using NeedsTensorCores = void;
  static constexpr int kThreads = kTileThreads, kBlocksAtOnce = S::kColumns == 64 ? 2 : 3;
  static constexpr size_t kHalos = 2 * kHaloFloats * sizeof(float), kEnd = TileEpilogue<S, kTakes>::kSharedBytes;
  static constexpr size_t kSharedBytes = kHalos > kEnd ? kHalos : kEnd;

  Correlation3x3 s;
  const float *x, *weight;
  Epilogue epilogue;
  int tiles, blocks;

  PYCONV_DEVICE void operator()() const {
    const TileRange range(tiles, blocks, static_cast<int>(block_index()));
    const int column = static_cast<int>(block_index_y()) * S::kColumns;
    uint32_t b[kDepths][S::kColumnFragments][2];
    int taps[kDepths][2];
#pragma unroll
    for (int depth = 0; depth < kDepths; ++depth)
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const int k = 8 * depth + lane_index() % 4 + 4 * e;
        taps[depth][e] = tap_in_halo(s, k);
#pragma unroll
        for (int j = 0; j < S::kColumnFragments; ++j) {
          const int c = column + S::first_column() + 8 * j + lane_index() / 4;
          const bool is_there = taps[depth][e] >= 0 && c < s.K;
          b[depth][j][e] = float_as_bits(is_there ? round_to_tf32(weight[k * s.K + c]) : 0);
        }
      }

    TileEpilogue<S, kTakes> ending;
    for_halos(s, x, range, [&](int tile, const float* halo) {
      typename S::Sums sums = {};
#pragma unroll
      for (int i = 0; i < S::kRowFragments; ++i) {
        const float* upper = halo + Wide::in_halo(S::pixel(i, 0)) * s.C;
        const float* lower = halo + Wide::in_halo(S::pixel(i, 1)) * s.C;
#pragma unroll
        for (int depth = 0; depth < kDepths; ++depth) {
          uint32_t a[4];
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            const int tap = taps[depth][e];
            a[2 * e] = float_as_bits(tap < 0 ? 0 : upper[tap]);
            a[2 * e + 1] = float_as_bits(tap < 0 ? 0 : lower[tap]);
          }
#pragma unroll
          for (int j = 0; j < S::kColumnFragments; ++j) multiply_tf32(sums[i][j], a, b[depth][j]);
        }
      }
      ending.tile(epilogue, s, TilePlace::of<Wide>(tile, s), column, sums);
    });
    ending.end(epilogue, s, column, static_cast<int>(block_index()));
  }
};

// The weight gradient: rows are taps, and one of ones for dbias; depth is pixels, eight to a warp at a time. dy
// goes straight from global memory into fragments, made on the way.
struct BackwardWeightFewChannels {
  using NeedsTensorCores = void;
  static constexpr int kThreads = kTileThreads, kBlocksAtOnce = 4, kWarps = kThreads / kWarp;
  static constexpr int kRows = 32, kColumns = 32;
  static constexpr size_t kSharedBytes = kWarps * kRows * kColumns * sizeof(float);

  Correlation3x3 s;
  Conv2dGradient gradient;
  const float* x;
  float* sums;  // (parts, 9 * C + 1, K)
  int tiles, parts;

  PYCONV_DEVICE Pack<4> dy(const TilePlace& place, int pixel, int c) const {
    const int output = place.output<Wide>(s, pixel), h = place.h + pixel / Wide::kWidth;
    const int w = place.w + pixel % Wide::kWidth;
    if (output < 0 || c >= s.K) return {};
    const int64_t window = int64_t{place.n * (s.OH / 2) + h / 2} * (s.OW / 2) + w / 2;
    return gradient_at<4>(gradient, s.K, output, window, h % 2 * 2 + w % 2, c);
  }

  PYCONV_DEVICE void operator()() const {
    const TileRange range(tiles, parts, static_cast<int>(block_index()));
    const int column = static_cast<int>(block_index_y()) * kColumns;
    const int group = lane_index() / 4, in_group = lane_index() % 4;
    int taps[4];  // of this lane's rows, eight apart
#pragma unroll
    for (int i = 0; i < 4; ++i) taps[i] = tap_in_halo(s, 8 * i + group);

    float weights[2][4][4] = {};
    for_halos(s, x, range, [&](int tile, const float* halo) {
      const TilePlace place = TilePlace::of<Wide>(tile, s);
#pragma unroll 1
      for (int pixel = 8 * warp_index(); pixel < Wide::kPixels; pixel += 8 * kWarps) {
        // A lane's four columns are one of each fragment.
        const Pack<4> near = dy(place, pixel + in_group, column + 4 * group);
        const Pack<4> far = dy(place, pixel + in_group + 4, column + 4 * group);
        const float* window = halo + (Wide::in_halo(pixel) + in_group) * s.C;
        uint32_t a[2][4];
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            const bool ones = 8 * i + group == 9 * s.C;
            const float v = taps[i] >= 0 ? window[taps[i] + 4 * e * s.C] : ones ? 1 : 0;
            a[i / 2][i % 2 + 2 * e] = float_as_bits(v);
          }
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const uint32_t b[2] = {float_as_bits(round_to_tf32(near.v[j])), float_as_bits(round_to_tf32(far.v[j]))};
#pragma unroll
          for (int i = 0; i < 2; ++i) multiply_tf32(weights[i][j], a[i], b);
        }
      }
    });
    join(column, weights);
  }

  // The warps' sums, added in order.
  PYCONV_DEVICE void join(int column, const float (&weights)[2][4][4]) const {
    float* all = shared<float>();
    barrier();
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int row = 16 * i + e / 2 * 8 + lane_index() / 4, k = (lane_index() % 4 * 2 + e % 2) * 4 + j;
          all[(warp_index() * kRows + row) * kColumns + k] = weights[i][j][e];
        }
    barrier();
    const int rows = 9 * s.C + 1;
    for (int i = thread_index(); i < rows * kColumns; i += kThreads) {
      const int k = column + i % kColumns;
      if (k >= s.K) continue;
      float sum = 0;
      for (int warp = 0; warp < kWarps; ++warp) sum += all[warp * kRows * kColumns + i];
      sums[(block_index() * rows + i / kColumns) * s.K + k] = sum;
    }
  }
};

// To fill the multiprocessors of a large GPU.
int parts_of(const Correlation3x3& s, int wanted, int columns) {
  const int parts = ceil_div(wanted, ceil_div(s.K, columns)), tiles = tiles_of<Wide>(s);
  return tiles < parts ? tiles : parts;
}

int parts_of(const Correlation3x3& s) {
  return s.K <= 32 ? parts_of(s, 396, 32) : parts_of(s, 264, 64);  // as many as are there at once
}

bool fits(const Context& context, const Conv2dShape& s) {
  Conv2dShape wider = s;  // but for its channels it is a 3x3 convolution like others
  wider.C_in = 16;
  return s.C_in >= 1 && s.C_in <= kMostChannels && fits_3x3(context, wider);
}

int parts(const Conv2dShape& s, Conv2dPass) {
  return parts_of(correlation_3x3(s));
}

Status forward(const Context& context, const Conv2dShape& shape, const ForwardPass& pass, const Epilogue& epilogue,
               void*) {
  const Correlation3x3 s = correlation_3x3(shape);
  const auto with = [&](auto share, auto taken) {
    using Kernel = CorrelateFewChannels<decltype(share), decltype(taken)::value>;
    const int blocks = parts_of(s);
    const Grid grid{blocks, ceil_div(s.K, decltype(share)::kColumns)};
    return launch(context, Kernel{s, pass.x, pass.weight, epilogue, tiles_of<Wide>(s), blocks}, grid,
                  Kernel::kSharedBytes);
  };
  const auto with_share = [&](auto taken) {
    return s.K <= 32 ? with(Share<Wide, 32>{}, taken) : with(Share<Wide, 64>{}, taken);
  };
  return epilogue.takes == Takes::kMoments ? with_share(std::integral_constant<Takes, Takes::kMoments>{})
                                           : with_share(std::integral_constant<Takes, Takes::kNothing>{});
}

int64_t weight_parts(const Conv2dShape& s) {
  return parts_of(correlation_3x3(s), 528, BackwardWeightFewChannels::kColumns);
}

Status backward_weight(const Context& context, const Conv2dShape& shape, const Conv2dGradient& gradient,
                       const float* x, const ScaleShift&, float* sums) {
  using Kernel = BackwardWeightFewChannels;
  const Correlation3x3 s = correlation_3x3(shape);
  const int parts = static_cast<int>(weight_parts(shape));
  const Grid grid{parts, ceil_div(s.K, Kernel::kColumns)};
  return launch(context, Kernel{s, gradient, x, sums, tiles_of<Wide>(s), parts}, grid, Kernel::kSharedBytes);
}

}  // namespace

const Algorithm kFewChannels{
    .fits = fits,
    .in_vectors = true,
    .fusions = kFusePool,
    .forward = forward,
    .parts = parts,
    .backward_weight = backward_weight,
    .weight_parts = weight_parts,
};

}  // namespace pyconv::cuda
