// Direct convolution without copies: a tile's rows are pointers to pixels, one set for each tap; pixels in
// the padding point to zeros, and taps that no pixel of the tile needs are left out.
// After Dukhan, "The Indirect Convolution Algorithm" (2019), with the pointers made on the fly.
#include "conv2d_pass.h"
#include "conv2d_weight.h"

namespace pyconv::cpu::PYCONV_CPU_ISA::direct {
namespace {

struct FillPointers {
  template <class Multiply>
  PYCONV_INLINE_MEMBER void operator()(const Pass& pass, const Phase& phase, const Points& points, int64_t group,
                                       const float* packed, RegisterTile& tile, const Multiply& multiply) const {
    const int64_t pixel = pass.channels.source_all(), tap_floats = pass.channels.source * kTileColumns;
    tile.K = pass.channels.source;
    int64_t t = 0;
    do {
      tile.taps = 0;
      for (; t < phase.tap_count && tile.taps < kMaxTaps; ++t) {
        const Tap& tap = phase.taps[t];
        const int64_t offset = (tap.dh * phase.source_W + tap.dw) * pixel + group * pass.channels.source;
        const float** rows = tile.a[tile.taps];
        bool any = true;
        if (points.all_inside(phase, tap)) {
          PYCONV_UNROLL
          for (int r = 0; r < kTileRows; ++r) rows[r] = points.base[r] + offset;
        } else {
          any = false;
          for (int64_t r = 0; r < points.count; ++r) {
            const bool inside = points.inside(phase, tap, r);
            rows[r] = inside ? points.base[r] + offset : pass.zeros;
            any |= inside;
          }
        }
        tile.b[tile.taps] = packed + t * tap_floats;
        tile.taps += any;
      }
      multiply();
    } while (t < phase.tap_count);
  }
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

}  // namespace

Status forward(const Context& context, const Conv2dShape& s, const ForwardPass& p) {
  run_forward(context, s, p, FillPointers{});
  return kOk;
}

Status backward_input(const Context& context, const Conv2dShape& s, const BackwardInputPass& p) {
  run_backward_input(context, s, p, FillPointers{});
  return kOk;
}

Status backward_weight(const Context& context, const Conv2dShape& s, const BackwardWeightPass& p) {
  run_weight_pass(context, WeightPass(s, p), AddTaps{});
  return kOk;
}

}  // namespace pyconv::cpu::PYCONV_CPU_ISA::direct

namespace pyconv::cpu::PYCONV_CPU_ISA {

void prepare_packed(const Context& context, const Conv2dShape& s, const float* weight, float* prepared) {
  Tap* taps = static_cast<Tap*>(context.workspace);
  write_taps(s, false, taps);
  pack_weight(s, make_pass(s, false), taps, weight, false, prepared);
}

size_t packed_bytes(const Conv2dShape& s) {
  return static_cast<size_t>(PassWorkspace(s, false).packed_floats) * sizeof(float);
}

size_t packed_workspace(const Conv2dShape& s, Conv2dPass pass) {
  if (pass == Conv2dPass::kBackwardWeight)
    return WeightPass(s, {}).workspace() + static_cast<size_t>(s.KH * s.KW) * sizeof(Tap);
  return PassWorkspace(s, pass == Conv2dPass::kBackwardInput).bytes();
}

}  // namespace pyconv::cpu::PYCONV_CPU_ISA
