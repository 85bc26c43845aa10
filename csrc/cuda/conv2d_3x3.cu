// 3x3 convolutions with stride 1 on the tensor cores. A block loads a tile of pixels with its halo once, 32
// channels at a time, and each of the nine taps is another address in it; an implicit matrix product would read
// the input nine times. Copies run ahead of the products (cp.async).
#include "conv2d_3x3.cuh"

namespace pyconv::cuda {

namespace {

constexpr int kChannels = 32;  // that are in shared memory at a time
constexpr int kColumns = 64;   // output channels of a block
constexpr int kBlockThreads = 128;

// A tile of output pixels, and its halo. Products take 16 pixels at a time: a row of 16, or two of 8.
template <int kHeight_, int kWidth_>
struct Tile {
  static constexpr int kHeight = kHeight_, kWidth = kWidth_, kPixels = kHeight * kWidth;
  static constexpr int kHaloWidth = kWidth + 2, kHalo = (kHeight + 2) * kHaloWidth;
  static constexpr int kEight =
      kWidth == 16 ? 8 : kHaloWidth;  // from a pixel to the one eight further, in the halo

  static PYCONV_DEVICE int in_halo(int pixel) { return pixel / kWidth * kHaloWidth + pixel % kWidth; }
};

// Where a block's tile lies: image, first row and column.
struct TilePlace {
  int n, h, w;
  template <class T>
  static PYCONV_DEVICE TilePlace of(int index, int OH, int OW) {
    const int down = (OH + T::kHeight - 1) / T::kHeight, across = (OW + T::kWidth - 1) / T::kWidth;
    return {index / (down * across), index / across % down * T::kHeight, index % across * T::kWidth};
  }
};
template <class T>
int64_t tiles_of(int64_t N, int64_t OH, int64_t OW) {
  return N * ceil_div(OH, T::kHeight) * ceil_div(OW, T::kWidth);
}

// Starts the copies of kRows x kVectors vectors of four floats into rows of kStride floats. source(row) gives the
// first float's address, null for zeros; vectors from `vectors` on are zeros too.
template <int kRows, int kVectors, int kStride, class Source>
PYCONV_DEVICE void copy_rows(float* to, int vectors, const float* anywhere, const Source& source) {
  const int vector = thread_index() % kVectors;
#pragma unroll
  for (int row = thread_index() / kVectors; row < kRows; row += kBlockThreads / kVectors) {
    const float* from = source(row);
    const bool valid = from && vector < vectors;
    async_copy_16(to + row * kStride + 4 * vector, valid ? from + 4 * vector : anywhere, valid);
  }
}

// Channels [c, c + 32) of a tile's halo; zeros outside the image.
template <class T, int kStride>
PYCONV_DEVICE void copy_halo(float* halo, const TilePlace& place, const Correlation3x3& s, const float* x, int c) {
  copy_rows<T::kHalo, kChannels / 4, kStride>(halo, (s.C - c) / 4, x, [&](int pixel) -> const float* {
    const int h = place.h - s.pad_top + pixel / T::kHaloWidth, w = place.w - s.pad_left + pixel % T::kHaloWidth;
    if (h < 0 || h >= s.H || w < 0 || w >= s.W) return nullptr;
    return x + (int64_t{place.n * s.H + h} * s.W + w) * s.C + c;
  });
}

// Fragments of the tensor cores' products from floats in shared memory, by the address of the lane's outer element
// and the distance between depths; the strides keep a warp's loads off each other's banks.
struct Tf32 {
  static constexpr int kDepth = 8;  // of one product
  static constexpr int kRowStride = 36, kRowStrideAcross = 40, kColumnStride = 72;
  using A = float[4];
  using B = float[2];

  // p: element (outer lane / 4, depth 0); eight: from an outer element to the one eight further.
  static PYCONV_DEVICE void load_a(A& a, const float* p, int eight, int depth_stride) {
    const float* q = p + lane_index() % 4 * depth_stride;
    a[0] = round_to_tf32(q[0]), a[1] = round_to_tf32(q[eight]);
    a[2] = round_to_tf32(q[4 * depth_stride]), a[3] = round_to_tf32(q[eight + 4 * depth_stride]);
  }
  // As load_a, without the outer elements eight further.
  static PYCONV_DEVICE void load_b(B& b, const float* p, int depth_stride) {
    const float* q = p + lane_index() % 4 * depth_stride;
    b[0] = round_to_tf32(q[0]), b[1] = round_to_tf32(q[4 * depth_stride]);
  }
  static PYCONV_DEVICE void multiply(float (&sum)[4], const A& a, const B& b) { multiply_tf32(sum, a, b); }
};

struct Bfloat16 {
  static constexpr int kDepth = 16;
  static constexpr int kRowStride = 40, kRowStrideAcross = 36, kColumnStride = 68;
  using A = uint32_t[4];
  using B = uint32_t[2];

  static PYCONV_DEVICE uint32_t pair(const float* p, int depth_stride) {
    return pack_bfloat16(p[0], p[depth_stride]);
  }
  static PYCONV_DEVICE void load_a(A& a, const float* p, int eight, int depth_stride, int upper) {
    const float* q = p + lane_index() % 4 * 2 * depth_stride;
    a[0] = pair(q, depth_stride), a[1] = pair(q + eight, depth_stride);
    a[2] = pair(q + upper, depth_stride), a[3] = pair(q + eight + upper, depth_stride);
  }
  static PYCONV_DEVICE void load_a(A& a, const float* p, int eight, int depth_stride) {
    load_a(a, p, eight, depth_stride, 8 * depth_stride);
  }
  static PYCONV_DEVICE void load_b(B& b, const float* p, int depth_stride) {
    const float* q = p + lane_index() % 4 * 2 * depth_stride;
    b[0] = pair(q, depth_stride), b[1] = pair(q + 8 * depth_stride, depth_stride);
  }
  static PYCONV_DEVICE void multiply(float (&sum)[4], const A& a, const B& b) { multiply_bfloat16(sum, a, b); }
};

// ---- forward and input gradient: four warps, two along the pixels and two along the channels

template <class Math, class T>
struct Correlate {
  static constexpr int kThreads = kBlockThreads, kBlocksAtOnce = T::kPixels > 64 ? 2 : 4;
  static constexpr int kStages = 3;  // of weights: one tap each
  static constexpr int kHaloFloats = T::kHalo * Math::kRowStride, kTapFloats = kChannels * Math::kColumnStride;
  static constexpr size_t kSharedBytes = (2 * kHaloFloats + kStages * kTapFloats) * sizeof(float);
  static constexpr int kRowFragments = T::kPixels / 32, kColumnFragments = 4;

  Correlation3x3 s;
  const float *x, *weight, *bias;
  float* y;

  PYCONV_DEVICE float* halo(int chunk) const { return shared<float>() + chunk % 2 * kHaloFloats; }
  PYCONV_DEVICE float* tap(int step) const {
    return shared<float>() + 2 * kHaloFloats + step % kStages * kTapFloats;
  }

  // Starts the copies of a step (nine to a chunk of channels) as one group, empty beyond the last.
  PYCONV_DEVICE void copy(const TilePlace& place, int step, int steps, int halo_chunk) const {
    if (halo_chunk * kChannels < s.C)
      copy_halo<T, Math::kRowStride>(halo(halo_chunk), place, s, x, halo_chunk * kChannels);
    if (step < steps) {
      const int c = step / 9 * kChannels, first = static_cast<int>(block_index_y()) * kColumns;
      copy_rows<kChannels, kColumns / 4, Math::kColumnStride>(
          tap(step), (s.K - first) / 4, weight, [&](int row) -> const float* {
            return c + row < s.C ? weight + int64_t{step % 9 * s.C + c + row} * s.K + first : nullptr;
          });
    }
    async_copy_commit();
  }

  PYCONV_DEVICE void operator()() const {
    constexpr int kNoHalo = 1 << 24;  // times 32 it is beyond any channel
    const TilePlace place = TilePlace::of<T>(static_cast<int>(block_index()), s.OH, s.OW);
    const int steps = (s.C + kChannels - 1) / kChannels * 9;
    const int pixels = warp_index() / 2 * (T::kPixels / 2), columns = warp_index() % 2 * 32;
    const int group = lane_index() / 4;
    float sums[kRowFragments][kColumnFragments][4] = {};

    copy(place, 0, steps, 0);
    copy(place, 1, steps, kNoHalo);
    for (int step = 0; step < steps; ++step) {
      async_copy_wait<1>();
      barrier();  // all see this step's copies, and are done with the buffers that the next ones go to
      copy(place, step + 2, steps, step % 9 == 0 ? step / 9 + 1 : kNoHalo);
      const int kh = step % 9 / 3, kw = step % 3;
      const float* left = halo(step / 9) + (kh * T::kHaloWidth + kw) * Math::kRowStride;
      const float* right = tap(step) + columns + group;
#pragma unroll
      for (int k = 0; k < kChannels; k += Math::kDepth) {
        typename Math::A a[kRowFragments];
#pragma unroll
        for (int i = 0; i < kRowFragments; ++i) {
          const int pixel = T::in_halo(pixels + 16 * i) + group;
          Math::load_a(a[i], left + pixel * Math::kRowStride + k, T::kEight * Math::kRowStride, 1);
        }
#pragma unroll
        for (int j = 0; j < kColumnFragments; ++j) {
          typename Math::B b;
          Math::load_b(b, right + k * Math::kColumnStride + 8 * j, Math::kColumnStride);
#pragma unroll
          for (int i = 0; i < kRowFragments; ++i) Math::multiply(sums[i][j], a[i], b);
        }
      }
    }
    write(place, pixels, static_cast<int>(block_index_y()) * kColumns + columns, sums);
  }

  PYCONV_DEVICE void write(const TilePlace& place, int pixels, int columns,
                           const float (&sums)[kRowFragments][kColumnFragments][4]) const {
#pragma unroll
    for (int i = 0; i < kRowFragments; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int pixel = pixels + 16 * i + 8 * half + lane_index() / 4;
        const int h = place.h + pixel / T::kWidth, w = place.w + pixel % T::kWidth;
        if (h >= s.OH || w >= s.OW) continue;
        float* row = y + (int64_t{place.n * s.OH + h} * s.OW + w) * s.K;
#pragma unroll
        for (int j = 0; j < kColumnFragments; ++j)
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            const int c = columns + 8 * j + lane_index() % 4 * 2 + e;
            if (c < s.K) row[c] = sums[i][j][2 * half + e] + (bias ? bias[c] : 0);
          }
      }
  }
};

// ---- weight gradient: a block keeps the sums of 32 input channels x 64 output channels x 9 taps in registers, a
// quarter of the output channels in each warp, and goes through its part of the tiles.

template <class Math, class T>
struct BackwardWeight3x3 {
  static constexpr int kThreads = kBlockThreads, kBlocksAtOnce = 2;
  static constexpr int kHaloFloats = T::kHalo * Math::kRowStrideAcross,
                       kTileFloats = T::kPixels * Math::kColumnStride;
  static constexpr size_t kSharedBytes = 2 * (kHaloFloats + kTileFloats) * sizeof(float);

  Correlation3x3 s;
  const float *dy, *x;
  float* sums;  // (parts, 9 * C + 1, K)
  int tiles, parts;

  PYCONV_DEVICE void copy(int index, int end, int c, int column) const {
    if (index < end) {
      float* halo = shared<float>() + index % 2 * (kHaloFloats + kTileFloats);
      const TilePlace place = TilePlace::of<T>(index, s.OH, s.OW);
      copy_halo<T, Math::kRowStrideAcross>(halo, place, s, x, c);
      copy_rows<T::kPixels, kColumns / 4, Math::kColumnStride>(
          halo + kHaloFloats, (s.K - column) / 4, dy, [&](int pixel) -> const float* {
            const int h = place.h + pixel / T::kWidth, w = place.w + pixel % T::kWidth;
            return h < s.OH && w < s.OW ? dy + (int64_t{place.n * s.OH + h} * s.OW + w) * s.K + column : nullptr;
          });
    }
    async_copy_commit();
  }

  PYCONV_DEVICE void operator()() const {
    const int c = static_cast<int>(block_index()) * kChannels,
              column = static_cast<int>(block_index_y()) * kColumns;
    const int part = static_cast<int>(block_index_z());
    const int begin = static_cast<int>(int64_t{tiles} * part / parts);
    const int end = static_cast<int>(int64_t{tiles} * (part + 1) / parts);
    const int group = lane_index() / 4, columns = warp_index() * 16;
    float weights[9][2][2][4] = {};
    float bias = 0;

    copy(begin, end, c, column);
    for (int index = begin; index < end; ++index) {
      copy(index + 1, end, c, column);
      async_copy_wait<1>();
      barrier();
      const float* halo = shared<float>() + index % 2 * (kHaloFloats + kTileFloats);
      const float* tile = halo + kHaloFloats;
      if (c == 0 && thread_index() < kColumns)
        for (int pixel = 0; pixel < T::kPixels; ++pixel)
          bias += tile[pixel * Math::kColumnStride + thread_index()];
#pragma unroll 1
      for (int pixel = 0; pixel < T::kPixels; pixel += Math::kDepth) {
        typename Math::B b[2];
#pragma unroll
        for (int j = 0; j < 2; ++j)
          Math::load_b(b[j], tile + pixel * Math::kColumnStride + columns + 8 * j + group, Math::kColumnStride);
#pragma unroll
        for (int t = 0; t < 9; ++t) {
          const float* left = halo + (T::in_halo(pixel) + t / 3 * T::kHaloWidth + t % 3) * Math::kRowStrideAcross;
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            typename Math::A a;
            load_across(a, left + 16 * i + group);
#pragma unroll
            for (int j = 0; j < 2; ++j) Math::multiply(weights[t][i][j], a, b[j]);
          }
        }
      }
      barrier();  // before the buffer is filled anew
    }
    write(c, column, part, weights, bias);
  }

  static PYCONV_DEVICE void load_across(Tf32::A& a, const float* p) {
    Tf32::load_a(a, p, 8, Math::kRowStrideAcross);
  }
  static PYCONV_DEVICE void load_across(Bfloat16::A& a, const float* p) {
    Bfloat16::load_a(a, p, 8, Math::kRowStrideAcross, T::kEight * Math::kRowStrideAcross);
  }

  PYCONV_DEVICE void write(int c, int column, int part, const float (&weights)[9][2][2][4], float bias) const {
    float* mine = sums + int64_t{part} * (9 * s.C + 1) * s.K;
    const int first = column + warp_index() * 16 + lane_index() % 4 * 2;
#pragma unroll
    for (int t = 0; t < 9; ++t)
#pragma unroll
      for (int i = 0; i < 2; ++i)
#pragma unroll
        for (int j = 0; j < 2; ++j)
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            const int row = c + 16 * i + e / 2 * 8 + lane_index() / 4, k = first + 8 * j + e % 2;
            if (row < s.C && k < s.K) mine[int64_t{t * s.C + row} * s.K + k] = weights[t][i][j][e];
          }
    if (c == 0 && thread_index() < kColumns && column + thread_index() < s.K)
      mine[int64_t{9 * s.C} * s.K + column + thread_index()] = bias;
  }
};

struct Turn {
  int64_t C_in, C_out;
  const float* weight;
  float* turned;
  PYCONV_DEVICE void operator()(int64_t i) const {
    const int64_t ci = i % C_in, co = i / C_in % C_out, tap = i / C_in / C_out;
    turned[i] = weight[((8 - tap) * C_in + ci) * C_out + co];
  }
};

// Wide tiles where rows are long; square ones for the last layers' small images.
using Wide = Tile<8, 16>;
using Square = Tile<8, 8>;
using WideQuarter = Tile<4, 16>;  // of the weight gradient, whose sums fill the registers

bool is_narrow(int64_t width) {
  return width % 16 != 0 && width % 16 <= 8;
}

// Calls function(math, tile) with the types that precision and width ask for.
template <class Long, class Short, class Function>
Status with_types(const Context& context, int64_t width, const Function& function) {
  const auto with_tile = [&](auto math) {
    return is_narrow(width) ? function(math, Short{}) : function(math, Long{});
  };
  return context.precision == Precision::kTf32 ? with_tile(Tf32{}) : with_tile(Bfloat16{});
}

int64_t backward_weight_tiles(const Conv2dShape& s) {
  return is_narrow(s.OW) ? tiles_of<Square>(s.N, s.OH, s.OW) : tiles_of<WideQuarter>(s.N, s.OH, s.OW);
}

}  // namespace

bool fits_3x3(const Context& context, const Conv2dShape& s, const void* a, const void* b, const void* c) {
  const auto aligned = [](const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; };
  return context.precision != Precision::kFloat32 && has_tensor_cores() && s.KH == 3 && s.KW == 3 &&
         s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1 && s.dilation_w == 1 && s.groups == 1 &&
         s.pad_top <= 2 && s.pad_left <= 2 && s.C_in % 4 == 0 && s.C_out % 4 == 0 && s.C_in >= 16 &&
         s.C_out >= 16 && s.N * s.H * s.W < INT32_MAX && s.N * s.OH * s.OW < INT32_MAX &&
         9 * s.C_in * s.C_out < INT32_MAX && aligned(a) && aligned(b) && aligned(c);
}

Correlation3x3 correlation_3x3(const Conv2dShape& s) {
  const auto narrow = [](int64_t size) { return static_cast<int32_t>(size); };
  return {narrow(s.N),  narrow(s.H),     narrow(s.W),       narrow(s.C_in),    narrow(s.OH),
          narrow(s.OW), narrow(s.C_out), narrow(s.pad_top), narrow(s.pad_left)};
}

Status correlate_3x3(const Context& context, const Correlation3x3& s, const float* x, const float* weight,
                     const float* bias, float* y) {
  return with_types<Wide, Square>(context, s.OW, [&](auto math, auto tile) {
    using Kernel = Correlate<decltype(math), decltype(tile)>;
    const Grid grid{tiles_of<decltype(tile)>(s.N, s.OH, s.OW), ceil_div(s.K, kColumns)};
    return launch(context, Kernel{s, x, weight, bias, y}, grid, Kernel::kSharedBytes);
  });
}

Status turn_3x3(const Context& context, const Conv2dShape& s, const float* weight, float* turned) {
  return for_each(context, 9 * s.C_in * s.C_out, Turn{s.C_in, s.C_out, weight, turned});
}

int64_t backward_weight_3x3_parts(const Conv2dShape& s) {
  const int64_t blocks = ceil_div(s.C_in, kChannels) * ceil_div(s.C_out, kColumns);
  const int64_t tiles = backward_weight_tiles(s), by_memory = (int64_t{1} << 24) / ((9 * s.C_in + 1) * s.C_out);
  int64_t parts = ceil_div(264, blocks);  // two blocks to each multiprocessor of a large GPU
  for (const int64_t bound : {ceil_div(tiles, 4), by_memory}) parts = bound < parts ? bound : parts;
  return parts < 1 ? 1 : parts;
}

Status backward_weight_3x3(const Context& context, const Conv2dShape& shape, const float* dy, const float* x,
                           float* sums) {
  const Correlation3x3 s = correlation_3x3(shape);
  const int tiles = static_cast<int>(backward_weight_tiles(shape));
  const int parts = static_cast<int>(backward_weight_3x3_parts(shape));
  return with_types<WideQuarter, Square>(context, s.OW, [&](auto math, auto tile) {
    using Kernel = BackwardWeight3x3<decltype(math), decltype(tile)>;
    const Grid grid{ceil_div(s.C, kChannels), ceil_div(s.K, kColumns), parts};
    return launch(context, Kernel{s, dy, x, sums, tiles, parts}, grid, Kernel::kSharedBytes);
  });
}

}  // namespace pyconv::cuda
