// Convolution as a matrix product (im2col): what all taps of a pixel read is copied into one row, a tile of pixels
// at a time, so that the copy stays in the L1. It pays where a tap has few channels, for which the product's inner
// loop would be too short. In the weight gradient of a first layer with C_in = 3, what a row of the kernel reads
// lies in one piece in memory: only what overhangs the image's edge is copied.
#include "conv2d_pass.h"
#include "conv2d_weight.h"

namespace pyconv::cpu::PYCONV_CPU_ISA::im2col {
namespace {

constexpr int64_t kMaxK = 1024;         // floats of a row copied at once, forward and input gradient
constexpr int64_t kMaxWeightRows = 64;  // the same for the weight gradient, where a block has 256 pixels

// Where one pixel's patch is read from.
struct Patch {
  const float* base;  // the pixel, at the group's first channel
  int64_t h, w;       // its place
  const float* end;   // of the source: whole vectors may be read up to here
};

// Copies floats [first, last) of the patch (taps, channels) to `out`, which has room for a vector more.
PYCONV_INLINE void copy_patch(const Phase& phase, const Patch& patch, int64_t pixel, int64_t channels,
                              int64_t first, int64_t last, float* out) {
  for (int64_t at = first; at < last;) {
    const int64_t t = at / channels, c = at % channels;
    const Tap& tap = phase.taps[t];
    const int64_t h = patch.h + tap.dh, w = patch.w + tap.dw;
    int64_t run = min(channels - c, last - at);
    if (h < 0 || h >= phase.source_H || w < 0 || w >= phase.source_W) {
      for (int64_t i = 0; i < run; ++i) out[i] = 0;
    } else {
      // Neighbouring taps lie side by side in memory when their pixels do and all channels are in one group.
      for (int64_t next = t + 1;
           pixel == channels && next < phase.tap_count && at + run < last && phase.taps[next].dh == tap.dh &&
           phase.taps[next].dw == tap.dw + next - t && w + next - t < phase.source_W;
           ++next)
        run = min(run + channels, last - at);
      const float* in = patch.base + (tap.dh * phase.source_W + tap.dw) * pixel + c;
      int64_t i = 0;
      for (; i < run && in + i + kVecFloats <= patch.end; i += kVecFloats) store(out + i, load(in + i));
      for (; i < run; ++i) out[i] = in[i];
    }
    out += run;
    at += run;
  }
}

// Whether the patch of a kernel row is one piece of x, short enough for the buffers here.
bool rows_in_one_piece(const Conv2dShape& s) {
  return s.dilation_w == 1 && s.groups == 1 && s.KW * s.C_in <= kMaxWeightRows && s.KH <= kMaxTaps &&
         s.KH * s.KW * s.C_in <= kMaxK;
}

// A kernel row's patch, which begins at pixel w of a row of x, `in`: `width` pixels, 0 outside the image.
PYCONV_INLINE void copy_row(const float* in, int64_t w, int64_t W, int64_t width, int64_t C, float* out) {
  const int64_t begin = min(width, max(0, -w)), end = max(begin, min(width, W - w));
  for (int64_t i = 0; i < begin * C; ++i) out[i] = 0;
  for (int64_t i = begin * C; i < end * C; ++i) out[i] = in[w * C + i];
  for (int64_t i = end * C; i < width * C; ++i) out[i] = 0;
}

// The `Input` of conv2d_pass.h: up to kMaxK floats of each pixel's patch at a time.
class Copies {
 public:
  PYCONV_INLINE_MEMBER Copies(const Walk& walk, const Phase& phase, const Points& points, int64_t group)
      : walk_(walk), phase_(phase), points_(points), group_(group), weights_(walk.weights_of(phase, group)) {}

  PYCONV_INLINE_MEMBER void fill(RegisterTile& tile) {
    const Phase& phase = phase_;  // the compiler sees that no copy changes these
    const Points& points = points_;
    const int64_t pixel = walk_.channels.source_all(), channels = walk_.channels.source;
    const int64_t first = next_, last = min(phase.tap_count * channels, first + kMaxK),
                  channel = group_ * channels;
    const float* end = walk_.source + phase.N * phase.source_H * phase.source_W * pixel;
    tile.K = last - first;
    tile.taps = tile.K > 0;
    tile.b[0] = weights_ + first * kTileColumns;
    next_ = last;
    for (int64_t r = 0; r < points.count; ++r) {
      float* row = rows_ + r * (kMaxK + kVecFloats);
      copy_patch(phase, {points.base[r] + channel, points.h[r], points.w[r], end}, pixel, channels, first, last,
                 row);
      tile.a[0][r] = row;
    }
  }
  PYCONV_INLINE_MEMBER bool more() const { return next_ < phase_.tap_count * walk_.channels.source; }

 private:
  const Walk& walk_;
  const Phase& phase_;
  const Points& points_;
  const int64_t group_;
  const float* const weights_;
  int64_t next_ = 0;  // float of the patch
  alignas(64) float rows_[kTileRows * (kMaxK + kVecFloats)];
};

struct AddCopies {
  const Phase& phase;

  PYCONV_INLINE_MEMBER void operator()(const WeightPass& pass, int64_t group, int64_t first, int64_t count,
                                       const float* packed, int64_t columns, float* sums) const {
    constexpr int64_t kRow = kMaxWeightRows + kVecFloats;
    alignas(64) float patches[kBlockPixels * kRow];
    const int64_t pixel = pass.s.C_in, channels = pass.channels.source, total = pass.rows();
    const float* end = pass.x + phase.N * phase.source_H * phase.source_W * pixel;
    for (int64_t from = 0; from < total; from += kMaxWeightRows) {
      const int64_t to = min(total, from + kMaxWeightRows);
      for (int64_t p = 0; p < count; ++p) {
        const int64_t n = (first + p) / (phase.H * phase.W);
        const int64_t h = (first + p) / phase.W % phase.H * phase.step_h, w = (first + p) % phase.W * phase.step_w;
        const float* base = pass.x + ((n * phase.source_H + h) * phase.source_W + w) * pixel + group * channels;
        copy_patch(phase, {base, h, w, end}, pixel, channels, from, to, patches + p * kRow);
      }
      const Segment all{patches, 0, count};
      outer_blocks(to - from, columns, {&all, 1, kRow, packed}, sums + from * kTileColumns);
    }
  }
};

// Pixels [first, first + count) of one kernel row: their patches are pieces of x, or copies where they overhang
// the image's edge. Returns how many segments there are.
PYCONV_INLINE int64_t row_segments(const WeightPass& pass, const Phase& phase, int64_t first, int64_t count,
                                   int64_t kh, float* copies, Segment* segments) {
  const Conv2dShape& s = pass.s;
  const Tap& tap = phase.taps[kh * s.KW];
  const int64_t C = s.C_in, run = s.KW * C, last = first + count;
  const int64_t inner_begin = tap.dw >= 0 ? 0 : ceil_div(-tap.dw, s.stride_w);
  const int64_t room = s.W - tap.dw - s.KW;
  const int64_t inner_end = room >= 0 ? room / s.stride_w + 1 : 0;
  int64_t found = 0;
  for (int64_t p = first, row_end; p < last; p = row_end) {
    const int64_t row = p / s.OW, h = row % s.OH * s.stride_h + tap.dh;
    row_end = min(last, (row + 1) * s.OW);
    if (h < 0 || h >= s.H) continue;
    const float* x_row = pass.x + (row / s.OH * s.H + h) * s.W * C;
    while (p < row_end) {
      const int64_t ow = p - row * s.OW, w = ow * s.stride_w + tap.dw;
      if (ow >= inner_begin && ow < inner_end) {
        const int64_t pixels = min(row_end - p, inner_end - ow);
        segments[found++] = {x_row + w * C, p - first, pixels};
        p += pixels;
      } else {
        copy_row(x_row, w, s.W, s.KW, C, copies);
        segments[found++] = {copies, p - first, 1};
        copies += run;
        ++p;
      }
    }
  }
  return found;
}

struct AddRows {
  const Phase& phase;

  PYCONV_INLINE_MEMBER void operator()(const WeightPass& pass, int64_t, int64_t first, int64_t count,
                                       const float* packed, int64_t columns, float* sums) const {
    alignas(64) float copies[kBlockPixels * kMaxWeightRows];
    Segment segments[kBlockPixels];
    const int64_t run = pass.s.KW * pass.s.C_in;
    for (int64_t kh = 0; kh < pass.s.KH; ++kh, sums += run * kTileColumns) {
      const int64_t found = row_segments(pass, phase, first, count, kh, copies, segments);
      outer_blocks(run, columns, {segments, found, pass.s.stride_w * pass.s.C_in, packed}, sums);
    }
  }
};

void forward(const Context& context, const Conv2dShape& s, const ForwardPass& p) {
  run_forward<Copies>(context, s, p);
}

void backward_input(const Context& context, const Conv2dShape& s, const BackwardInputPass& p) {
  run_backward_input<Copies>(context, s, p);
}

void backward_weight(const Context& context, const Conv2dShape& s, const BackwardWeightPass& p) {
  const WeightPass pass(s, p);
  Tap* taps = reinterpret_cast<Tap*>(static_cast<char*>(context.workspace) + pass.workspace());
  const Phase phase = forward_phase(s, taps);
  if (rows_in_one_piece(s))
    run_weight_pass(context, pass, AddRows{phase});
  else
    run_weight_pass(context, pass, AddCopies{phase});
}

}  // namespace
}  // namespace pyconv::cpu::PYCONV_CPU_ISA::im2col

namespace pyconv::cpu::PYCONV_CPU_ISA {

const Algorithm kIm2col{
    .fits = [](const Conv2dShape&) { return true; },
    .forward = im2col::forward,
    .backward_input = im2col::backward_input,
    .backward_weight = im2col::backward_weight,
    .workspace = packed_workspace,
    .prepared_bytes = packed_bytes,
    .prepare = prepare_packed,
    .fusions = kFuseEpilogue | kFuseReduction | kFuseGradient,
};

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
