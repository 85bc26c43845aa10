// The weight gradient of 3x3 convolutions with stride 1 on the tensor cores: a block keeps the sums of 32 input
// channels x up to 64 output channels x 9 taps in registers, a row of taps x 32 output channels in each warp, and
// goes through its part of the tiles. Depth is pixels: what is shifted by a tap is the address of the halo.
#include "conv2d_3x3.cuh"
#include "conv2d_tile.cuh"

namespace pyconv::cuda {

namespace {

// Fragments of sums over pixels, from operands (pixels, channels) in shared memory. Strides keep a warp's loads
// off each other's banks. Of a warp's 32 input channels and 32 output channels, channel(i, half) and column(j, e)
// are this lane's.

// A lane loads two channels of a pixel at once, which are two rows of a fragment, and of dy four, one of each
// fragment.
struct Tf32OverPixels : Tf32 {
  static constexpr int kDepth = 8;  // pixels
  static constexpr int stride(int channels) { return channels + 8; }
  static PYCONV_DEVICE int channel(int i, int half) { return 16 * i + lane_index() / 4 * 2 + half; }
  static PYCONV_DEVICE int column(int j, int e) { return (lane_index() % 4 * 2 + e) * 4 + j; }

  template <int kStride, int kEight>
  static PYCONV_DEVICE void load_left(uint32_t (&a)[2][4], const uint32_t* pixel) {
    const uint32_t* p = pixel + lane_index() % 4 * kStride + lane_index() / 4 * 2;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const auto near = load<2>(p + 16 * i), far = load<2>(p + 16 * i + 4 * kStride);
      a[i][0] = near.v[0], a[i][1] = near.v[1], a[i][2] = far.v[0], a[i][3] = far.v[1];
    }
  }
  template <int kStride>
  static PYCONV_DEVICE void load_right(uint32_t (&b)[4][2], const uint32_t* pixel) {
    const uint32_t* p = pixel + lane_index() % 4 * kStride + lane_index() / 4 * 4;
    const auto near = load<4>(p), far = load<4>(p + 4 * kStride);
#pragma unroll
    for (int j = 0; j < 4; ++j) b[j][0] = near.v[j], b[j][1] = far.v[j];
  }
};

// Pairs of pixels in a word: matrices turned on the way from shared memory.
struct Bfloat16OverPixels : Bfloat16 {
  static constexpr int kDepth = 16;
  static constexpr int stride(int channels) { return channels / 2 + 4; }
  static PYCONV_DEVICE int channel(int i, int half) { return 16 * i + 8 * half + lane_index() / 4; }
  static PYCONV_DEVICE int column(int j, int e) { return 8 * j + lane_index() % 4 * 2 + e; }

  // kEight: from a pixel to the one eight further.
  template <int kStride, int kEight>
  static PYCONV_DEVICE void load_left(uint32_t (&a)[2][4], const uint32_t* pixel) {
    const int matrix = lane_index() / 8;
    const uint32_t* p = pixel + (matrix / 2 * kEight + lane_index() % 8) * kStride + matrix % 2 * 4;
#pragma unroll
    for (int i = 0; i < 2; ++i) load_matrices_turned(a[i], p + 8 * i);
  }
  template <int kStride>
  static PYCONV_DEVICE void load_right(uint32_t (&b)[4][2], const uint32_t* pixel) {
    const int matrix = lane_index() / 8;
    const uint32_t* p = pixel + (matrix % 2 * 8 + lane_index() % 8) * kStride + matrix / 2 * 4;
#pragma unroll
    for (int j = 0; j < 4; j += 2) {
      uint32_t two[4];
      load_matrices_turned(two, p + 4 * j);
      b[j][0] = two[0], b[j][1] = two[1], b[j + 1][0] = two[2], b[j + 1][1] = two[3];
    }
  }
};

template <class Math, class T, int kColumns>
struct BackwardWeight3x3 {
  using NeedsTensorCores = void;
  static constexpr int kThreads = 3 * kWarp * (kColumns / 32), kBlocksAtOnce = 2;
  static constexpr int kStride = Math::stride(kChannels), kColumnStride = Math::stride(kColumns);
  static constexpr int kVectors = kColumns / 4, kBiasRows = kThreads / kVectors;
  // Shared memory: x and dy as they landed, then as operands.
  static constexpr int kLandedX = T::kHalo * kChannels, kLanded = kLandedX + T::kPixels * kColumns;
  static constexpr int kOperandX = T::kHalo * kStride;
  static constexpr size_t kSharedBytes = (kLanded + kOperandX + T::kPixels * kColumnStride) * sizeof(float);

  Correlation3x3 s;
  const float *dy, *x;
  ScaleShift input;
  float* sums;  // (parts, 9 * C + 1, K)
  int tiles, parts;

  PYCONV_DEVICE void copy(int tile, int c, int column) const {
    const TilePlace place = TilePlace::of<T>(tile, s);
    copy_halo<kThreads, T>(shared<float>(), place, s, x, c);
    copy_rows<kThreads, kVectors, T::kPixels>(shared<float>() + kLandedX, (s.K - column) / 4, dy,
                                              [&](int pixel) -> const float* {
                                                const int from = place.output<T>(s, pixel);
                                                return from < 0 ? nullptr : dy + int64_t{from} * s.K + column;
                                              });
  }

  PYCONV_DEVICE void operator()() const {
    const int c = static_cast<int>(block_index()) * kChannels;
    const int column = static_cast<int>(block_index_y()) * kColumns, part = static_cast<int>(block_index_z());
    const TileRange range(tiles, parts, part);
    const int row = warp_index() % 3, columns = warp_index() / 3 * 32;  // of this warp
    uint32_t* left = shared<uint32_t>() + kLanded;
    uint32_t* right = left + kOperandX;
    float weights[3][2][4][4] = {};
    Pack<4> bias{};

    if (range.begin < range.end) copy(range.begin, c, column);
    async_copy_commit();
    for (int tile = range.begin; tile < range.end; ++tile) {
      async_copy_wait<0>();
      barrier();  // all are done with the operands
      convert_halo<Math, kThreads, T, kStride>(left, shared<float>(), TilePlace::of<T>(tile, s), s, input, c);
      convert_gradient(right, bias);
      if (tile + 1 < range.end) copy(tile + 1, c, column);  // into the places that this thread has just converted
      async_copy_commit();
      barrier();
#pragma unroll 1
      for (int pixel = 0; pixel < T::kPixels; pixel += Math::kDepth) {
        uint32_t b[4][2];
        Math::template load_right<kColumnStride>(b, right + pixel * kColumnStride + columns / Math::kPerWord);
#pragma unroll
        for (int t = 0; t < 3; ++t) {
          uint32_t a[2][4];
          const int shifted = T::in_halo(pixel) + row * T::kHaloWidth + t;
          Math::template load_left<kStride, T::kEight>(a, left + shifted * kStride);
#pragma unroll
          for (int i = 0; i < 2; ++i)
#pragma unroll
            for (int j = 0; j < 4; ++j) Math::multiply(weights[t][i][j], a[i], b[j]);
        }
      }
    }
    float* mine = sums + int64_t{part} * (9 * s.C + 1) * s.K;
    write(mine, c, column + columns, row, weights);
    if (c == 0) write_bias(mine + int64_t{9 * s.C} * s.K, column, bias);
  }

  PYCONV_DEVICE void convert_gradient(uint32_t* right, Pack<4>& bias) const {
    const int vector = own_vector<kVectors>();
    for_own_vectors<kThreads, kVectors, T::kPixels>(shared<float>() + kLandedX, [&](int pixel, const Pack<4>& v) {
#pragma unroll
      for (int e = 0; e < 4; ++e) bias.v[e] += v.v[e];
      store(right + pixel * kColumnStride + vector * (4 / Math::kPerWord), Math::words(v));
    });
  }

  PYCONV_DEVICE void write(float* to, int c, int column, int row, const float (&weights)[3][2][4][4]) const {
#pragma unroll
    for (int t = 0; t < 3; ++t)
#pragma unroll
      for (int i = 0; i < 2; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j)
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            const int channel = c + Math::channel(i, e / 2), k = column + Math::column(j, e % 2);
            if (channel < s.C && k < s.K)
              to[int64_t{(3 * row + t) * s.C + channel} * s.K + k] = weights[t][i][j][e];
          }
  }

  // The threads of a vector add up what they saw of it, in order.
  PYCONV_DEVICE void write_bias(float* to, int column, const Pack<4>& bias) const {
    float* all = shared<float>();
    barrier();
    store(all + thread_index() * 4, bias);
    barrier();
    if (thread_index() >= kColumns || column + thread_index() >= s.K) return;
    float sum = 0;
    for (int i = 0; i < kBiasRows; ++i) sum += all[i * kColumns + thread_index()];
    to[column + thread_index()] = sum;
  }
};

int columns_of(const Correlation3x3& s) {
  return s.K <= 32 ? 32 : 64;
}

int all_tiles(const Correlation3x3& s) {
  return is_narrow(s.OW) ? tiles_of<Square>(s) : tiles_of<WideHalf>(s);
}

int parts_of(const Correlation3x3& s) {
  const int columns = columns_of(s), blocks = ceil_div(s.C, kChannels) * ceil_div(s.K, columns);
  const int by_memory = (1 << 24) / ((9 * s.C + 1) * s.K);
  int parts = ceil_div(columns == 64 ? 264 : 396, blocks);  // to fill the multiprocessors of a large GPU
  for (const int bound : {ceil_div(all_tiles(s), 4), by_memory}) parts = bound < parts ? bound : parts;
  return parts < 1 ? 1 : parts;
}

}  // namespace

int64_t weight_parts_3x3(const Conv2dShape& s) {
  return parts_of(correlation_3x3(s));
}

Status backward_weight_3x3(const Context& context, const Conv2dShape& shape, const Conv2dGradient& gradient,
                           const float* x, const ScaleShift& input, float* sums) {
  const Correlation3x3 s = correlation_3x3(shape);
  const int parts = parts_of(s);
  const auto with = [&](auto math, auto tile, auto columns) {
    using Kernel = BackwardWeight3x3<decltype(math), decltype(tile), decltype(columns)::value>;
    const Grid grid{ceil_div(s.C, kChannels), ceil_div(s.K, decltype(columns)::value), parts};
    return launch(context, Kernel{s, gradient.d, x, input, sums, all_tiles(s), parts}, grid, Kernel::kSharedBytes);
  };
  const auto with_columns = [&](auto math, auto tile) {
    return columns_of(s) == 32 ? with(math, tile, std::integral_constant<int, 32>{})
                               : with(math, tile, std::integral_constant<int, 64>{});
  };
  const auto with_tile = [&](auto math) {
    return is_narrow(s.OW) ? with_columns(math, Square{}) : with_columns(math, WideHalf{});
  };
  return context.precision == Precision::kTf32 ? with_tile(Tf32OverPixels{}) : with_tile(Bfloat16OverPixels{});
}

}  // namespace pyconv::cuda
