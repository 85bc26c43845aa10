// Forward convolution of few channels, as in a first layer with C_in = 3: a kernel row of a pixel's patch is one
// piece of memory, neighbouring pixels' pieces overlap. A chunk owns a run of output rows; the source rows that
// one of them reads are copied together with their padding, so that no pixel is special, and its products stay in
// the L1 until the epilogue takes them to y.
#include "conv2d_packed.h"

namespace pyconv::cpu::PYCONV_CPU_ISA::few_channels {
namespace {

// A row of x, `width` pixels from pixel `first` on; 0 outside the image, and everywhere where `in` is null.
PYCONV_INLINE void copy_padded(const float* in, int64_t first, int64_t W, int64_t width, int64_t C, float* out) {
  const int64_t begin = in ? min(width, max(0, -first)) : width,
                end = in ? max(begin, min(width, W - first)) : width;
  const auto bytes = [&](int64_t pixels) { return static_cast<size_t>(pixels * C) * sizeof(float); };
  __builtin_memset(out, 0, bytes(begin));
  if (end > begin) __builtin_memcpy(out + begin * C, in + (first + begin) * C, bytes(end - begin));
  __builtin_memset(out + end * C, 0, bytes(width - end));
}

struct Buffers {
  int64_t width, source_row, target_row, chunks;  // width: pixels of a padded source row; rows in floats

  explicit Buffers(const Conv2dShape& s) {
    constexpr int64_t kLeastPixels = 128, kEnough = 256;
    width = (s.OW - 1) * s.stride_w + s.KW;
    source_row = round_up(width * s.C_in, 16);
    target_row = round_up(s.C_out, kTileColumns);
    chunks = max(1, min(s.N * s.OH, min(kEnough, s.N * s.OH * s.OW / kLeastPixels)));
  }
  int64_t scratch_floats(const Conv2dShape& s) const {
    return s.KH * source_row + s.OW * target_row + ChannelSums::scratch_floats(target_row);
  }
};

// An output row's sums through the epilogue to y.
template <class Epilogue>
PYCONV_INLINE void finish_row(const Epilogue& e, const float* row, int64_t row_pixel, int64_t n, int64_t h,
                              bool first, const ChannelSums& sums) {
  const auto run = [&]<bool kWhole>(const TileOutput& t) PYCONV_LANES_BODY {
    Vec total{};
    for (int64_t w = 0; first && w < e.target.W; ++w) total += load(row + w * row_pixel + t.channel);
    typename Epilogue::template Finisher<kWhole> channels(e, sums, t, total / static_cast<float>(e.target.W));
    int64_t at = e.target.offset(t);
    const float* in = row + t.channel;
    for (int64_t w = 0; w < e.target.W; ++w, in += row_pixel, at += e.target.K) {
      const Vec v = channels.next(load(in), at);
      if (!kWhole)
        store_part(e.y + at, v, t.lanes);
      else if (e.streams)
        stream(e.y + at, v);
      else
        store(e.y + at, v);
    }
    channels.end();
  };
  for (int64_t c = 0; c < e.target.K; c += kVecFloats) {
    const TileOutput t{n, h, 0, 1, e.target.W, c, min(kVecFloats, e.target.K - c), first};
    if (t.lanes == kVecFloats)
      run.template operator()<true>(t);
    else
      run.template operator()<false>(t);
  }
}

bool fits(const Conv2dShape& s) {
  constexpr int64_t kMostFloats = 64, kMostScratch = int64_t{1} << 16;
  return s.groups == 1 && s.dilation_w == 1 && s.KW * s.C_in <= kMostFloats && s.OW > 0 &&
         Buffers(s).scratch_floats(s) <= kMostScratch;
}

// A chunk's output rows.
template <class Epilogue>
PYCONV_INLINE void run_rows(const Conv2dShape& s, const Buffers& buffers, Range rows, const float* x,
                            const float* weights, const Epilogue& epilogue, double* totals) {
  const int64_t run = s.KW * s.C_in, pixel = s.stride_w * s.C_in;
  float* source =
      static_cast<float*>(thread_scratch(static_cast<size_t>(buffers.scratch_floats(s)) * sizeof(float)));
  float *products = source + s.KH * buffers.source_row, *rest = products + s.OW * buffers.target_row;
  const ChannelSums sums(buffers.target_row, rest, totals);
  sums.start(0, buffers.target_row);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int64_t n = row / s.OH, oh = row % s.OH;
    for (int64_t kh = 0; kh < s.KH; ++kh) {
      const int64_t h = oh * s.stride_h - s.pad_top + kh * s.dilation_h;
      const float* in = h >= 0 && h < s.H ? x + (n * s.H + h) * s.W * s.C_in : nullptr;
      copy_padded(in, -s.pad_left, s.W, buffers.width, s.C_in, source + kh * buffers.source_row);
    }
    for (int64_t c = 0; c < buffers.target_row; c += kTileColumns) {
      const float* b = weights + c * s.KH * run;
      for (int64_t w = 0; w < s.OW; w += kTileRows)
        multiply_strided_rows(min(kTileRows, s.OW - w), source + w * pixel, pixel, s.KH, buffers.source_row, run,
                              b, products + w * buffers.target_row + c, buffers.target_row);
    }
    finish_row(epilogue, products, buffers.target_row, n, oh, row == rows.begin, sums);
    epilogue.end_block(sums, 0, buffers.target_row, s.OW);
  }
  end_streams();
}

void forward(const Context& context, const Conv2dShape& shape, const ForwardPass& pass) {
  const Buffers shared_buffers(shape);
  const PackedPass packed(shape, false, context.workspace);
  const float* weights = pass.prepared;
  if (!weights) {
    prepare_packed(context, shape, pass.weight, packed.packed);
    weights = packed.packed;
  }
  ChunkTotals totals = packed.chunk_totals();
  totals.chunks = shared_buffers.chunks;
  const TargetShape target{shape.N, shape.OH, shape.OW, shape.C_out};
  with_epilogue(pass, pass.bias, target, [&](const auto& shared_epilogue) {
    parallel(shared_buffers.chunks, [=, &shape, &shared_epilogue, x = pass.x](int64_t chunk) {
      const Conv2dShape s = shape;  // copies that no store can alias
      const Buffers buffers = shared_buffers;
      const auto epilogue = shared_epilogue;
      run_rows(s, buffers, chunk_range(s.N * s.OH, buffers.chunks, chunk), x, weights, epilogue,
               totals.rows + chunk * 2 * buffers.target_row);
    });
  });
  write_sums(pass, target, totals);
}

}  // namespace
}  // namespace pyconv::cpu::PYCONV_CPU_ISA::few_channels

namespace pyconv::cpu::PYCONV_CPU_ISA {

const Algorithm kFewChannels{
    .fits = few_channels::fits,
    .forward = few_channels::forward,
    .backward_input = nullptr,
    .backward_weight = nullptr,
    .workspace = packed_workspace,
    .prepared_bytes = packed_bytes,
    .prepare = prepare_packed,
    .fusions = kFuseEpilogue,
};

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
