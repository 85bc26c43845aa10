// What the convolutions that go tile by tile share: tiles of pixels with a halo around them, how four warps share
// a tile's products, and copies of it into shared memory.
#pragma once

#include "conv2d_3x3.cuh"

namespace pyconv::cuda {
namespace {

constexpr int kChannels = 32;  // that are in shared memory at a time
constexpr int kTileThreads = 128;

// A tile of output pixels, and its halo. Products take 16 pixels at a time: a row of 16, or two of 8.
template <int kHeight_, int kWidth_>
struct Tile {
  static constexpr int kHeight = kHeight_, kWidth = kWidth_, kPixels = kHeight * kWidth;
  static constexpr int kHaloWidth = kWidth + 2, kHalo = (kHeight + 2) * kHaloWidth;
  // From a pixel to the one eight further, in the halo.
  static constexpr int kEight = kWidth == 16 ? 8 : kHaloWidth;

  static PYCONV_DEVICE int in_halo(int pixel) { return pixel / kWidth * kHaloWidth + pixel % kWidth; }
};

// Wide tiles where rows are long; square ones for the last layers' small images.
using Wide = Tile<8, 16>;
using Square = Tile<8, 8>;
using WideHalf = Tile<4, 16>;

inline bool is_narrow(int64_t width) {
  return width % 16 != 0 && width % 16 <= 8;
}

template <class T>
int tiles_of(const Correlation3x3& s) {
  return s.N * ceil_div(s.OH, T::kHeight) * ceil_div(s.OW, T::kWidth);
}

// Where a tile lies: image, first row and column.
struct TilePlace {
  int n, h, w;

  template <class T>
  static PYCONV_DEVICE TilePlace of(int index, const Correlation3x3& s) {
    const int down = ceil_div(s.OH, T::kHeight), across = ceil_div(s.OW, T::kWidth);
    return {index / (down * across), index / across % down * T::kHeight, index % across * T::kWidth};
  }
  // The output pixel's number, or -1 beyond the edge.
  template <class T>
  PYCONV_DEVICE int output(const Correlation3x3& s, int pixel) const {
    const int row = h + pixel / T::kWidth, column = w + pixel % T::kWidth;
    return row < s.OH && column < s.OW ? (n * s.OH + row) * s.OW + column : -1;
  }
  // The input pixel's number at a place of the halo, or -1 outside the image.
  template <class T>
  PYCONV_DEVICE int input(const Correlation3x3& s, int pixel) const {
    const int row = h - s.pad_top + pixel / T::kHaloWidth, column = w - s.pad_left + pixel % T::kHaloWidth;
    return row >= 0 && row < s.H && column >= 0 && column < s.W ? (n * s.H + row) * s.W + column : -1;
  }
};

// Tiles [begin, end) of a block that shares all of them with its neighbours along x.
struct TileRange {
  int begin, end;
  PYCONV_DEVICE TileRange(int tiles, int blocks, int block)
      : begin(static_cast<int>(int64_t{tiles} * block / blocks)),
        end(static_cast<int>(int64_t{tiles} * (block + 1) / blocks)) {}
};

// How four warps share the products of a tile with kColumns output channels: 32 columns each, in fragments of
// 16 pixels x 8 columns.
template <class T_, int kColumns_>
struct Share {
  using T = T_;
  static constexpr int kColumns = kColumns_, kAcross = kColumns / 32, kAlong = 4 / kAcross;
  static constexpr int kRowFragments = T::kPixels / 16 / kAlong, kColumnFragments = 4;
  using Sums = float[kRowFragments][kColumnFragments][4];

  static PYCONV_DEVICE int along() { return warp_index() / kAcross; }
  static PYCONV_DEVICE int first_pixel() { return along() * (T::kPixels / kAlong); }
  static PYCONV_DEVICE int first_column() { return warp_index() % kAcross * 32; }
  // Of this lane's sums [i][j][2 * half + e].
  static PYCONV_DEVICE int pixel(int i, int half) { return first_pixel() + 16 * i + 8 * half + lane_index() / 4; }
  static PYCONV_DEVICE int column(int j) { return first_column() + 8 * j + lane_index() % 4 * 2; }  // + e
};

// A thread's share of rows of kVectors vectors, the same every time, so that a thread that started a copy can go
// on with it once it has landed.
template <int kVectors>
PYCONV_DEVICE int own_vector() {
  return thread_index() % kVectors;
}
// Calls body(row).
template <int kThreads, int kVectors, int kRows, class Body>
PYCONV_DEVICE void for_own_rows(const Body& body) {
#pragma unroll
  for (int row = thread_index() / kVectors; row < kRows; row += kThreads / kVectors) body(row);
}
// Calls body(row, vector of four floats), four vectors loaded at a time: a store could be to where the next is
// read.
template <int kThreads, int kVectors, int kRows, class Body>
PYCONV_DEVICE void for_own_vectors(const float* landed, const Body& body) {
  constexpr int kStep = kThreads / kVectors, kSteps = ceil_div(kRows, kStep), kAtOnce = 2;
  const int first = thread_index() / kVectors;
  const float* own = landed + own_vector<kVectors>() * 4;
#pragma unroll
  for (int begin = 0; begin < kSteps; begin += kAtOnce) {
    Pack<4> vectors[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i)
      if (const int row = first + (begin + i) * kStep; begin + i < kSteps && row < kRows)
        vectors[i] = load<4>(own + row * kVectors * 4);
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i)
      if (const int row = first + (begin + i) * kStep; begin + i < kSteps && row < kRows) body(row, vectors[i]);
  }
}

// Starts the copies of this thread's share of vectors of four floats: row_of(i) gives a row's first float,
// null for zeros; vectors from `vectors` on are zeros too.
template <int kThreads, int kVectors, int kRows, class Row>
PYCONV_DEVICE void copy_rows(float* to, int vectors, const float* anywhere, const Row& row_of) {
  const int vector = own_vector<kVectors>();
  for_own_rows<kThreads, kVectors, kRows>([&](int row) {
    const float* from = row_of(row);
    const bool valid = from && vector < vectors;
    async_copy_16(to + (row * kVectors + vector) * 4, valid ? from + 4 * vector : anywhere, valid);
  });
}

// Channels [c, c + 32) of a tile's halo; zeros outside the image.
template <int kThreads, class T>
PYCONV_DEVICE void copy_halo(float* to, const TilePlace& place, const Correlation3x3& s, const float* x, int c) {
  copy_rows<kThreads, kChannels / 4, T::kHalo>(to, (s.C - c) / 4, x, [&](int pixel) -> const float* {
    const int from = place.input<T>(s, pixel);
    return from < 0 ? nullptr : x + int64_t{from} * s.C + c;
  });
}

// What multiplies: words of 32 bits as the tensor cores take them, eight to a product's depth.
struct Tf32 {
  static constexpr int kPerWord = 1;  // channels
  static PYCONV_DEVICE Pack<4, uint32_t> words(const Pack<4>& v) {
    Pack<4, uint32_t> words;
#pragma unroll
    for (int e = 0; e < 4; ++e) words.v[e] = float_as_bits(round_to_tf32(v.v[e]));
    return words;
  }
  static PYCONV_DEVICE void multiply(float (&sum)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    multiply_tf32(sum, a, b);
  }
};
struct Bfloat16 {
  static constexpr int kPerWord = 2;
  static PYCONV_DEVICE Pack<2, uint32_t> words(const Pack<4>& v) {
    return {{pack_bfloat16(v.v[0], v.v[1]), pack_bfloat16(v.v[2], v.v[3])}};
  }
  static PYCONV_DEVICE void multiply(float (&sum)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    multiply_bfloat16(sum, a, b);
  }
};

// From a halo that this thread's copies landed in to operands of the tensor cores, normalised on the way; what is
// outside the image stays 0. kStride: words from a pixel to the next.
template <class Math, int kThreads, class T, int kStride>
PYCONV_DEVICE void convert_halo(uint32_t* to, const float* landed, const TilePlace& place, const Correlation3x3& s,
                                const ScaleShift& input, int c) {
  constexpr int kVectors = kChannels / 4;
  const int vector = own_vector<kVectors>(), channel = c + 4 * vector;
  const bool normalizes = input.scale && channel < s.C;
  Pack<4> scale, shift;
#pragma unroll
  for (int e = 0; e < 4; ++e) {
    scale.v[e] = normalizes ? input.scale[channel + e] : 1;
    shift.v[e] = normalizes ? input.shift[channel + e] : 0;
  }
  for_own_vectors<kThreads, kVectors, T::kHalo>(landed, [&](int pixel, Pack<4> v) {
    if (normalizes && place.input<T>(s, pixel) >= 0) {
#pragma unroll
      for (int e = 0; e < 4; ++e) v.v[e] = scale_shift(v.v[e], scale.v[e], shift.v[e], input.relu);
    }
    store(to + pixel * kStride + vector * (4 / Math::kPerWord), Math::words(v));
  });
}

}  // namespace
}  // namespace pyconv::cuda
