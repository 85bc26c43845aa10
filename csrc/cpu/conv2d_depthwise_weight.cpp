// Weight gradient of a depthwise convolution: vectors run over channels, and the sums of up to 3 x 3 taps stay in
// registers along runs of output rows. At most 16 parts, each a run of rows, are added in order at the end.
#include "conv2d_depthwise.h"

namespace pyconv::cpu::PYCONV_CPU_ISA::depthwise {
namespace {

constexpr int64_t kRunPixels = 256;  // summed in registers at most, roughly: short sums keep float32 accurate
// What is summed together: 3 x 3 x 2 sums of 32 registers, 1 x 3 x 4 of 16. Fewer vectors would use half a cache
// line of each pixel.
constexpr bool kManyRegisters = kVecRegisters == 32;
constexpr int kSumVecs = kManyRegisters ? 2 : 4, kMaxTapRows = kManyRegisters ? 3 : 1;
constexpr int kMaxTapColumns = kManyRegisters ? 5 : 3;

int64_t weight_parts(const Conv2dShape& s) {
  return max(1, min(kMaxPartials, s.N * s.OH));
}

// Output rows that see the same kernel rows inside the image.
struct Run {
  int64_t row, count;  // output rows, counted over all images
  Range kh;
  Ahead x, dy;  // the next run's
};

PYCONV_INLINE Range kernel_rows(const Conv2dShape& s, int64_t row) {
  const int64_t h = row % s.OH * s.stride_h - s.pad_top;
  const int64_t begin = h >= 0 ? 0 : min(s.KH, ceil_div(-h, s.dilation_h));
  const int64_t end = s.H > h ? min(s.KH, ceil_div(s.H - h, s.dilation_h)) : 0;
  return {begin, max(begin, end)};
}

PYCONV_INLINE Run run_at(const Conv2dShape& s, const float* x, const float* dy, int64_t row, int64_t last) {
  Run run{row, 1, kernel_rows(s, row), {}, {}};
  const int64_t image_end = min(last, (row / s.OH + 1) * s.OH);
  for (; row + run.count < image_end && (run.count + 1) * s.OW <= kRunPixels; ++run.count) {
    const Range next = kernel_rows(s, row + run.count);
    if (next.begin != run.kh.begin || next.end != run.kh.end) break;
  }
  const int64_t walks = ceil_div(s.KH, s.KW == 3 ? kMaxTapRows : 1) * ceil_div(s.KW, kMaxTapColumns) *
                        ceil_div(s.C_in, kSumVecs * kVecFloats);
  const int64_t steps = run.count * s.OW * walks, line = s.W * s.C_in;
  const int64_t next = row + run.count, left = min(run.count, s.N * s.OH - next);
  if (left <= 0) return run;
  const int64_t reach = max(0, (next % s.OH - 1) * s.stride_h - s.pad_top + (s.KH - 1) * s.dilation_h + 1);
  const int64_t rows = min(left * s.stride_h, s.H - reach);  // of the image
  if (rows > 0) run.x = Ahead(x + (next / s.OH * s.H + reach) * line, rows * line, steps);
  run.dy = Ahead(dy + next * s.OW * s.C_in, left * s.OW * s.C_in, steps);
  return run;
}

// Adds x * dy of a run to a channel block's sums (taps, channels) for taps [kh, kh + TH) x [kw, kw + TW).
template <class Block, int TH, int TW>
void add_taps(const Conv2dShape& s, Run& run, const float* x, const float* dy, int64_t kh, int64_t kw, int64_t c,
              float* sums) {
  using L = typename Block::Lane;
  using Float = typename L::Float;
  constexpr int V = Block::kVecs;
  const int64_t C = s.C_in, shift = s.dilation_w * C, line = s.dilation_h * s.W * C;
  const int64_t dw = kw * s.dilation_w - s.pad_left, reach = (TW - 1) * s.dilation_w;
  const int64_t inner_begin = min(s.OW, dw >= 0 ? 0 : ceil_div(-dw, s.stride_w));
  const int64_t inner_end =
      max(inner_begin, min(s.OW, s.W > dw + reach ? ceil_div(s.W - dw - reach, s.stride_w) : 0));
  Float sum[TH][TW][V] = {};
  for (int64_t row = run.row; row < run.row + run.count; ++row) {
    const int64_t h = row % s.OH * s.stride_h + kh * s.dilation_h - s.pad_top;
    const float* in = x + ((row / s.OH * s.H + h) * s.W + dw) * C + c;
    const float* d = dy + row * s.OW * C + c;
    const auto add_pixels = [&](auto inside, int64_t begin, int64_t end) PYCONV_LANES_BODY {
      for (int64_t ow = begin; ow < end; ++ow) {
        const float* p = in + ow * s.stride_w * C;
        run.x.step();
        run.dy.step();
        Float value[V];
        PYCONV_UNROLL
        for (int v = 0; v < V; ++v) value[v] = load_float<L>(d + ow * C + v * L::kCount);
        PYCONV_UNROLL
        for (int j = 0; j < TW; ++j) {
          if (!inside(ow * s.stride_w + dw + j * s.dilation_w)) continue;
          PYCONV_UNROLL
          for (int i = 0; i < TH; ++i) {
            PYCONV_UNROLL
            for (int v = 0; v < V; ++v)
              sum[i][j][v] += load_float<L>(p + i * line + j * shift + v * L::kCount) * value[v];
          }
        }
      }
    };
    const auto look = [&](int64_t w) { return w >= 0 && w < s.W; };
    add_pixels(look, 0, inner_begin);
    add_pixels([](int64_t) { return true; }, inner_begin, inner_end);
    add_pixels(look, inner_end, s.OW);
  }
  PYCONV_UNROLL
  for (int i = 0; i < TH; ++i) {
    PYCONV_UNROLL
    for (int j = 0; j < TW; ++j) {
      float* target = sums + ((kh + i) * s.KW + kw + j) * Block::kCount;
      PYCONV_UNROLL
      for (int v = 0; v < V; ++v)
        store_as(target + v * L::kCount, load_float<L>(target + v * L::kCount) + sum[i][j][v]);
    }
  }
}

// The instance for a number of taps known only at run time: kernel rows together where they are three taps wide.
template <class Block, int TW = kMaxTapColumns>
PYCONV_INLINE void add_tap_columns(int64_t columns, int64_t rows, const Conv2dShape& s, Run& run, const float* x,
                                   const float* dy, int64_t kh, int64_t kw, int64_t c, float* sums) {
  if constexpr (TW > 1)
    if (columns < TW) return add_tap_columns<Block, TW - 1>(columns, rows, s, run, x, dy, kh, kw, c, sums);
  if constexpr (TW == 3 && kMaxTapRows == 3) {
    if (rows == 3) return add_taps<Block, 3, TW>(s, run, x, dy, kh, kw, c, sums);
    if (rows == 2) return add_taps<Block, 2, TW>(s, run, x, dy, kh, kw, c, sums);
  }
  for (int64_t i = 0; i < rows; ++i) add_taps<Block, 1, TW>(s, run, x, dy, kh + i, kw, c, sums);
}

template <class Block>
PYCONV_INLINE void add_run(const Conv2dShape& s, Run& run, const float* x, const float* dy, int64_t c,
                           float* sums) {
  using L = typename Block::Lane;
  const int64_t blocks_w = ceil_div(s.KW, kMaxTapColumns);
  for (int64_t kh = run.kh.begin; kh < run.kh.end; kh += kMaxTapRows) {
    const int64_t rows = min(kMaxTapRows, run.kh.end - kh);
    for (int64_t b = 0; b < blocks_w; ++b) {
      const Range kw = chunk_range(s.KW, blocks_w, b);
      add_tap_columns<Block>(kw.end - kw.begin, rows, s, run, x, dy, kh, kw.begin, c, sums);
    }
  }
  PYCONV_UNROLL
  for (int v = 0; v < Block::kVecs; ++v) {
    const float* d = dy + run.row * s.OW * s.C_in + c + v * L::kCount;
    float* dbias = sums + s.KH * s.KW * Block::kCount + v * L::kCount;
    typename L::Float sum{};
    for (int64_t p = 0; p < run.count * s.OW; ++p) sum += load_float<L>(d + p * s.C_in);
    store_as(dbias, load_float<L>(dbias) + sum);
  }
}

}  // namespace

// Each part's sums in blocks; dbias is one tap more.
size_t weight_workspace(const Conv2dShape& s) {
  return static_cast<size_t>(weight_parts(s) * (s.KH * s.KW + 1) * s.C_in) * sizeof(float);
}

void backward_weight(const Context& context, const Conv2dShape& shape, const BackwardWeightPass& pass) {
  const float *dy = pass.gradient.d, *x = pass.x;
  float *dweight = pass.dweight, *dbias = pass.dbias;
  const int64_t parts = weight_parts(shape), taps = shape.KH * shape.KW, C = shape.C_in, floats = (taps + 1) * C;
  float* partials = static_cast<float*>(context.workspace);
  parallel(parts, [&](int64_t part) {
    const Conv2dShape s = shape;  // a copy that no store can alias
    float* sums = partials + part * floats;
    for (int64_t i = 0; i < floats; ++i) sums[i] = 0;
    const Range rows = chunk_range(s.N * s.OH, parts, part);
    for (int64_t row = rows.begin; row < rows.end;) {
      Run run = run_at(s, x, dy, row, rows.end);
      for_channels<kSumVecs>(s.C_in, [&](auto block, int64_t c) PYCONV_LANES_BODY {
        add_run<decltype(block)>(s, run, x, dy, c, sums + c * (taps + 1));
      });
      row += run.count;
    }
  });
  const int64_t chunks = elementwise_chunks(floats * parts);
  parallel(chunks, [&](int64_t chunk) {
    const Range range = chunk_range(floats, chunks, chunk);
    for (int64_t part = 1; part < parts; ++part)
      for (int64_t i = range.begin; i < range.end; ++i) partials[i] += partials[part * floats + i];
  });
  for_blocked<kSumVecs>(taps + 1, C, [&](auto lanes, int64_t from, int64_t to) PYCONV_LANES_BODY {
    float* out = to < taps * C ? dweight + to : dbias ? dbias + to - taps * C : nullptr;
    if (out) store_as(out, load_float<decltype(lanes)>(partials + from));
  });
}

}  // namespace pyconv::cpu::PYCONV_CPU_ISA::depthwise
