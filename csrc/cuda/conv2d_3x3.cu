// 3x3 convolutions with stride 1 on the tensor cores, forward and input gradient. A block goes through tiles of
// pixels. A tile's halo is loaded once, 32 channels at a time, by copies that run ahead of the products
// (cp.async); then each of the nine taps is another address in it: an implicit matrix product would read the input
// nine times.
#include "conv2d_3x3.cuh"
#include "conv2d_epilogue.cuh"

namespace pyconv::cuda {

namespace {

constexpr int kDepthWords = 8;  // of a product

template <class Math>
constexpr int kChunkWords = kChannels / Math::kPerWord;  // of a pixel, and of a column

// Packed weights: (columns / kColumns, chunks of channels, 9 taps) of these.
template <class Math, int kColumns>
constexpr int kTapWords = kChunkWords<Math> * kColumns;

template <class Math>
struct Pack3x3 {
  Correlation3x3 s;
  int columns;  // of a block
  bool turned;
  const float* weight;
  uint32_t* packed;

  PYCONV_DEVICE float at(int tap, int c, int k) const {
    if (c >= s.C || k >= s.K) return 0;
    return turned ? weight[((8 - tap) * s.K + k) * s.C + c] : weight[(tap * s.C + c) * s.K + k];
  }
  // In a tap: depth, pairs of fragments of eight columns, lanes, and of each lane two words of each fragment.
  PYCONV_DEVICE void operator()(int64_t word) const {
    const int i = static_cast<int>(word), lane = i / 4 % kWarp, pairs = columns / 16;
    const int pair = i / 128 % pairs, depth = i / 128 / pairs % (kChunkWords<Math> / kDepthWords);
    const int step = i / (kChunkWords<Math> * columns), chunks = ceil_div(s.C, kChannels);
    const int k = step / (9 * chunks) * columns + 16 * pair + i % 4 / 2 * 8 + lane / 4;
    const int channel = (depth * kDepthWords + lane % 4 + i % 2 * 4) * Math::kPerWord;
    const int c = step / 9 % chunks * kChannels + channel;
    Pack<4> values{};
    for (int e = 0; e < Math::kPerWord; ++e) values.v[e] = at(step % 9, c + e, k);
    packed[i] = Math::words(values).v[0];
  }
};

template <class Math, class S, Takes kTakes>
struct Correlate {
  using T = typename S::T;
  using NeedsTensorCores = void;
  static constexpr int kThreads = kTileThreads, kBlocksAtOnce = T::kPixels > 64 ? 2 : 3;
  static constexpr int kStages = 3;                      // of weights that stream: one tap each
  static constexpr int kStride = kChunkWords<Math> + 4;  // between pixels: rows of matrices meet no bank twice
  static constexpr int kLanded = T::kHalo * kChannels, kOperand = T::kHalo * kStride;
  static constexpr int kTap = kTapWords<Math, S::kColumns>;

  Correlation3x3 s;
  const float* x;
  ScaleShift input;
  const uint32_t* packed;
  Epilogue epilogue;
  int tiles, blocks;
  int32_t resident;  // all weights of a block's columns stay in shared memory

  static size_t shared_bytes(int taps) { return (kLanded + kOperand + taps * kTap) * sizeof(float); }

  static PYCONV_DEVICE float* landed() { return shared<float>(); }
  static PYCONV_DEVICE uint32_t* operand() { return shared<uint32_t>() + kLanded; }
  PYCONV_DEVICE uint32_t* tap(int step) const {
    return operand() + kOperand + (resident ? step : step % kStages) * kTap;
  }
  PYCONV_DEVICE int chunks() const { return ceil_div(s.C, kChannels); }

  // Starts the copy of a tap's weights.
  PYCONV_DEVICE void copy_tap(uint32_t* to, int step) const {
    const uint32_t* from = packed + (int64_t{block_index_y()} * 9 * chunks() + step) * kTap;
#pragma unroll
    for (int i = 4 * thread_index(); i < kTap; i += 4 * kThreads) async_copy_16(to + i, from + i, true);
  }

  PYCONV_DEVICE void operator()() const {
    const TileRange range(tiles, blocks, static_cast<int>(block_index()));
    const int column = static_cast<int>(block_index_y()) * S::kColumns, taps = 9 * chunks();
    const int steps = (range.end - range.begin) * taps;
    TileEpilogue<S, kTakes> ending;

    copy_halo<kThreads, T>(landed(), TilePlace::of<T>(range.begin, s), s, x, 0);
    for (int i = 0; i < (resident ? taps : 1); ++i) copy_tap(tap(i), i);
    async_copy_commit();
    if (!resident) {
      copy_tap(tap(1), 1);
      async_copy_commit();
    }

    int step = 0;
    for (int tile = range.begin; tile < range.end; ++tile) {
      const TilePlace place = TilePlace::of<T>(tile, s);
      typename S::Sums sums = {};
      for (int chunk = 0; chunk < chunks(); ++chunk) {
#pragma unroll 1
        for (int t = 0; t < 9; ++t, ++step) {
          if (t == 0 || !resident) {
            // All but the youngest group of copies has landed: it is the next tap's.
            resident ? async_copy_wait<0>() : async_copy_wait<1>();
            barrier();  // all see the copies, and are done with what the next ones, and the operand, replace
          }
          if (t == 0) {
            convert_halo<Math, kThreads, T, kStride>(operand(), landed(), place, s, input, chunk * kChannels);
            copy_next_halo(tile, chunk, range.end);
          }
          if (!resident && step + 2 < steps) copy_tap(tap(step + 2), (step + 2) % taps);
          if (t == 0 || !resident) async_copy_commit();
          if (t == 0) barrier();  // the operand is whole
          multiply(sums, t, tap(resident ? chunk * 9 + t : step));
        }
      }
      ending.tile(epilogue, s, place, column, sums);
    }
    ending.end(epilogue, s, column, static_cast<int>(block_index()));
  }

  // Into the place that this thread has just converted.
  PYCONV_DEVICE void copy_next_halo(int tile, int chunk, int end) const {
    const bool last = chunk + 1 == chunks();
    if (last && tile + 1 == end) return;
    copy_halo<kThreads, T>(landed(), TilePlace::of<T>(last ? tile + 1 : tile, s), s, x,
                           last ? 0 : (chunk + 1) * kChannels);
  }

  static PYCONV_DEVICE void multiply(typename S::Sums& sums, int t, const uint32_t* weights) {
    // Of four matrices, 8 pixels x 4 words each: pixels, the eight further, and both again four words on.
    const int matrix = lane_index() / 8, row = lane_index() % 8 + matrix % 2 * T::kEight;
    const int pixel = T::in_halo(S::first_pixel()) + t / 3 * T::kHaloWidth + t % 3 + row;
    const uint32_t* left = operand() + pixel * kStride + matrix / 2 * 4;
    const uint32_t* right = weights + (S::first_column() / 16 * kWarp + lane_index()) * 4;
#pragma unroll
    for (int k = 0; k < kChunkWords<Math> / kDepthWords; ++k) {
      uint32_t a[S::kRowFragments][4];
#pragma unroll
      for (int i = 0; i < S::kRowFragments; ++i)
        load_matrices(a[i], left + T::in_halo(16 * i) * kStride + k * kDepthWords);
#pragma unroll
      for (int pair = 0; pair < S::kColumnFragments / 2; ++pair) {
        const auto two = load<4>(right + (k * (S::kColumns / 16) + pair) * kWarp * 4);
#pragma unroll
        for (int f = 0; f < 2; ++f) {
          const uint32_t b[2] = {two.v[2 * f], two.v[2 * f + 1]};
#pragma unroll
          for (int i = 0; i < S::kRowFragments; ++i) Math::multiply(sums[i][2 * pair + f], a[i], b);
        }
      }
    }
  }
};

// Columns of a block: 32 where there are no more, so that no product is of zeros alone.
int columns_of(const Correlation3x3& s) {
  return s.K <= 32 && !is_narrow(s.OW) ? 32 : 64;
}

// Calls function(share) with the type that the sizes ask for.
template <class Function>
auto with_share(const Correlation3x3& s, const Function& function) {
  if (is_narrow(s.OW)) return function(Share<Square, 64>{});
  return columns_of(s) == 32 ? function(Share<Wide, 32>{}) : function(Share<Wide, 64>{});
}

template <class Function>
auto with_math(const Context& context, const Function& function) {
  return context.precision == Precision::kTf32 ? function(Tf32{}) : function(Bfloat16{});
}

template <class Function>
Status with_takes(Takes takes, const Function& function) {
  if (takes == Takes::kMoments) return function(std::integral_constant<Takes, Takes::kMoments>{});
  if (takes == Takes::kProducts) return function(std::integral_constant<Takes, Takes::kProducts>{});
  return function(std::integral_constant<Takes, Takes::kNothing>{});
}

template <class Math>
int64_t packed_words(const Correlation3x3& s) {
  const int64_t columns = columns_of(s);
  return ceil_div(s.K, columns) * ceil_div(s.C, kChannels) * 9 * columns * kChunkWords<Math>;
}

Status pack(const Context& context, const Correlation3x3& s, bool turned, const float* weight, void* packed) {
  return with_math(context, [&](auto math) {
    using Math = decltype(math);
    const Pack3x3<Math> body{s, columns_of(s), turned, weight, static_cast<uint32_t*>(packed)};
    return for_each(context, packed_words<Math>(s), body);
  });
}

// Two to three blocks on each multiprocessor of a large GPU; more for small tiles.
int parts_of(const Correlation3x3& s) {
  return with_share(s, [&](auto share) {
    using T = typename decltype(share)::T;
    const int wanted = ceil_div(T::kPixels > 64 ? 264 : 396, ceil_div(s.K, columns_of(s)));
    const int tiles = tiles_of<T>(s);
    return tiles < wanted ? tiles : wanted;
  });
}

Status correlate(const Context& context, const Correlation3x3& s, const float* x, const ScaleShift& input,
                 const void* packed, const Epilogue& epilogue) {
  return with_math(context, [&](auto math) {
    return with_share(s, [&](auto share) {
      return with_takes(epilogue.takes, [&](auto taken) {
        using Kernel = Correlate<decltype(math), decltype(share), decltype(taken)::value>;
        const int taps = 9 * ceil_div(s.C, kChannels), blocks = parts_of(s);
        // Where as many blocks as are to be there at once find room on a large GPU's multiprocessor.
        constexpr size_t kRoom = (227 << 10) / Kernel::kBlocksAtOnce - (1 << 10);
        const bool resident = Kernel::shared_bytes(taps) <= (kRoom < kMostSharedBytes ? kRoom : kMostSharedBytes);
        const Kernel kernel{s,        x,
                            input,    static_cast<const uint32_t*>(packed),
                            epilogue, tiles_of<typename Kernel::T>(s),
                            blocks,   resident};
        const Grid grid{blocks, ceil_div(s.K, decltype(share)::kColumns)};
        return launch(context, kernel, grid, Kernel::shared_bytes(resident ? taps : Kernel::kStages));
      });
    });
  });
}

// ---- the table's row

Correlation3x3 correlation_of(const Conv2dShape& s, Conv2dPass pass) {
  return pass == Conv2dPass::kForward ? correlation_3x3(s) : correlation_3x3_of_gradient(s);
}

int parts(const Conv2dShape& s, Conv2dPass pass) {
  return parts_of(correlation_of(s, pass));
}

size_t scratch_bytes(const Context& context, const Conv2dShape& s, Conv2dPass pass) {
  return with_math(context, [&](auto math) {
    return static_cast<size_t>(packed_words<decltype(math)>(correlation_of(s, pass))) * sizeof(uint32_t);
  });
}

size_t prepared_bytes(const Context& context, const Conv2dShape& s) {
  return scratch_bytes(context, s, Conv2dPass::kForward);
}

Status prepare(const Context& context, const Conv2dShape& s, const float* weight, void* prepared) {
  return pack(context, correlation_3x3(s), false, weight, prepared);
}

Status forward(const Context& context, const Conv2dShape& s, const ForwardPass& pass, const Epilogue& epilogue,
               void* scratch) {
  if (pass.prepared) return correlate(context, correlation_3x3(s), pass.x, pass.input, pass.prepared, epilogue);
  const Status status = prepare(context, s, pass.weight, scratch);
  if (status.message) return status;
  return correlate(context, correlation_3x3(s), pass.x, pass.input, scratch, epilogue);
}

Status backward_input(const Context& context, const Conv2dShape& s, const float* dy, const float* weight,
                      const Epilogue& epilogue, void* scratch) {
  const Correlation3x3 sizes = correlation_3x3_of_gradient(s);
  const Status status = pack(context, sizes, true, weight, scratch);
  return status.message ? status : correlate(context, sizes, dy, {}, scratch, epilogue);
}

}  // namespace

bool fits_3x3(const Context& context, const Conv2dShape& s) {
  return context.precision != Precision::kFloat32 && has_tensor_cores() && s.KH == 3 && s.KW == 3 &&
         s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1 && s.dilation_w == 1 && s.groups == 1 &&
         s.pad_top <= 2 && s.pad_left <= 2 && s.C_in % 4 == 0 && s.C_out % 4 == 0 && s.C_in >= 16 &&
         s.C_out >= 16 && s.N * s.H * s.W < INT32_MAX && s.N * s.OH * s.OW < INT32_MAX &&
         9 * (s.C_in + 64) * (s.C_out + 64) < INT32_MAX;
}

Correlation3x3 correlation_3x3(const Conv2dShape& s) {
  const auto narrow = [](int64_t size) { return static_cast<int32_t>(size); };
  return {narrow(s.N),  narrow(s.H),     narrow(s.W),       narrow(s.C_in),    narrow(s.OH),
          narrow(s.OW), narrow(s.C_out), narrow(s.pad_top), narrow(s.pad_left)};
}

Correlation3x3 correlation_3x3_of_gradient(const Conv2dShape& shape) {
  const Correlation3x3 s = correlation_3x3(shape);
  return {s.N, s.OH, s.OW, s.K, s.H, s.W, s.C, 2 - s.pad_top, 2 - s.pad_left};
}

const Algorithm k3x3{
    .fits = fits_3x3,
    .in_vectors = true,
    .fusions = kFusePool | kFuseInput | kNeedsGradient,
    .forward = forward,
    .backward_input = backward_input,
    .scratch_bytes = scratch_bytes,
    .parts = parts,
    .backward_weight = backward_weight_3x3,
    .weight_parts = weight_parts_3x3,
    .prepared_bytes = prepared_bytes,
    .prepare = prepare,
};

}  // namespace pyconv::cuda
