// Direct convolution, without copies: each tap of a tile has a pointer for each of the tile's pixels, to the input
// pixel that it reads. Pixels in the padding point to zeros; taps that no pixel of the tile needs are left out.
// After Dukhan, "The Indirect Convolution Algorithm" (2019), with the pointers made on the fly.
#include "conv2d_pass.h"
#include "conv2d_weight.h"

namespace pyconv::cpu::PYCONV_CPU_ISA::direct {
namespace {

// The `Input` of conv2d_pass.h: up to kMaxTaps taps at a time.
class Pointers {
 public:
  PYCONV_INLINE_MEMBER Pointers(const Walk& walk, const Phase& phase, const Points& points, int64_t group)
      : walk_(walk), phase_(phase), points_(points), group_(group), weights_(walk.weights_of(phase, group)) {}

  PYCONV_INLINE_MEMBER void fill(RegisterTile& tile) {
    const int64_t channels = walk_.channels.source, pixel = walk_.channels.source_all();
    tile.K = channels;
    tile.taps = 0;
    for (; next_ < phase_.tap_count && tile.taps < kMaxTaps; ++next_) {
      const Tap& tap = phase_.taps[next_];
      const int64_t offset = (tap.dh * phase_.source_W + tap.dw) * pixel + group_ * channels;
      const float** rows = tile.a[tile.taps];
      bool any = true;
      if (points_.all_inside(phase_, tap)) {
        PYCONV_UNROLL
        for (int r = 0; r < kTileRows; ++r) rows[r] = points_.base[r] + offset;
      } else {
        any = false;
        for (int64_t r = 0; r < points_.count; ++r) {
          const bool inside = points_.inside(phase_, tap, r);
          rows[r] = inside ? points_.base[r] + offset : walk_.zeros;
          any |= inside;
        }
      }
      tile.b[tile.taps] = weights_ + next_ * channels * kTileColumns;
      tile.taps += any;
    }
  }
  PYCONV_INLINE_MEMBER bool more() const { return next_ < phase_.tap_count; }

 private:
  const Walk& walk_;
  const Phase& phase_;
  const Points& points_;
  const int64_t group_;
  const float* const weights_;
  int64_t next_ = 0;  // tap
};

// The runs of pixels [first, first + count) that see tap (kh, kw) inside the image.
PYCONV_INLINE int64_t tap_segments(const Conv2dShape& s, const float* x, int64_t first, int64_t count, int64_t kh,
                                   int64_t kw, Segment* segments) {
  const int64_t dh = kh * s.dilation_h - s.pad_top, dw = kw * s.dilation_w - s.pad_left;
  const int64_t ow_begin = dw >= 0 ? 0 : ceil_div(-dw, s.stride_w);
  const int64_t ow_end = s.W - dw > 0 ? min(s.OW, ceil_div(s.W - dw, s.stride_w)) : 0;
  int64_t found = 0;
  for (int64_t p = first; p < first + count;) {
    const int64_t row = p / s.OW, begin = p % s.OW, end = min(s.OW, begin + first + count - p);
    const int64_t n = row / s.OH, ih = row % s.OH * s.stride_h + dh;
    const int64_t from = max(begin, ow_begin), to = min(end, ow_end);
    if (ih >= 0 && ih < s.H && from < to)
      segments[found++] = {x + ((n * s.H + ih) * s.W + from * s.stride_w + dw) * s.C_in, p - first + from - begin,
                           to - from};
    p += end - begin;
  }
  return found;
}

struct AddTaps {
  PYCONV_INLINE_MEMBER void operator()(const WeightPass& pass, int64_t group, int64_t first, int64_t count,
                                       const float* packed, int64_t columns, float* sums) const {
    const Conv2dShape& s = pass.s;
    Segment segments[kBlockPixels];
    for (int64_t kh = 0; kh < s.KH; ++kh) {
      for (int64_t kw = 0; kw < s.KW; ++kw, sums += pass.channels.source * kTileColumns) {
        const int64_t found =
            tap_segments(s, pass.x + group * pass.channels.source, first, count, kh, kw, segments);
        outer_blocks(pass.channels.source, columns, {segments, found, s.stride_w * s.C_in, packed}, sums);
      }
    }
  }
};

void forward(const Context& context, const Conv2dShape& s, const ForwardPass& p) {
  run_forward<Pointers>(context, s, p);
}

void backward_input(const Context& context, const Conv2dShape& s, const BackwardInputPass& p) {
  run_backward_input<Pointers>(context, s, p);
}

void backward_weight(const Context& context, const Conv2dShape& s, const BackwardWeightPass& p) {
  run_weight_pass(context, WeightPass(s, p), AddTaps{});
}

}  // namespace
}  // namespace pyconv::cpu::PYCONV_CPU_ISA::direct

namespace pyconv::cpu::PYCONV_CPU_ISA {

size_t packed_workspace(const Conv2dShape& s, Conv2dPass pass) {
  if (pass == Conv2dPass::kBackwardWeight)
    return WeightPass(s, {}).workspace() + static_cast<size_t>(s.KH * s.KW) * sizeof(Tap);
  return PackedPass(s, pass == Conv2dPass::kBackwardInput, nullptr).bytes();
}

size_t packed_bytes(const Conv2dShape& s) {
  return static_cast<size_t>(PackedPass(s, false, nullptr).packed_floats()) * sizeof(float);
}

void prepare_packed(const Context& context, const Conv2dShape& s, const float* weight, float* prepared) {
  const PackedPass pass(s, false, context.workspace);
  pass.write_phases(s);
  pack_weight(s, pass, weight, prepared);
}

const Algorithm kDirect{
    .fits = [](const Conv2dShape&) { return true; },
    .forward = direct::forward,
    .backward_input = direct::backward_input,
    .backward_weight = direct::backward_weight,
    .workspace = packed_workspace,
    .prepared_bytes = packed_bytes,
    .prepare = prepare_packed,
    .fusions = kFuseEpilogue | kFuseReduction | kFuseGradient,
};

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
