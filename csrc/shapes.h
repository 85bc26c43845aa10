// Sizes of the ops: plain structs that cross the C ABI, and the size arithmetic. No loops over elements.
#pragma once

#include <cstdint>

#include "portable.h"

namespace pyconv {

enum class DType : int32_t { kFloat32, kUint8, kInt32, kInt64, kUint32, kFloat64 };

// x (N, H, W, C_in), weight (KH, KW, C_in / groups, C_out), bias (C_out), y (N, OH, OW, C_out).
struct Conv2dShape {
  int64_t N, H, W, C_in, C_out, KH, KW, OH, OW;
  int64_t stride_h, stride_w;
  int64_t pad_top, pad_bottom, pad_left, pad_right;
  int64_t dilation_h, dilation_w;
  int64_t groups;
};

// What Winograd's algorithms can do.
PYCONV_PORTABLE bool fits_winograd(const Conv2dShape& s) {
  return s.KH == 3 && s.KW == 3 && s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1 && s.dilation_w == 1 &&
         s.groups == 1 && s.pad_top <= 2 && s.pad_bottom <= 2 && s.pad_left <= 2 && s.pad_right <= 2;
}

// x (N, H, W, C), window (KH, KW), y and argmax (N, OH, OW, C).
struct Pool2dShape {
  int64_t N, H, W, C, KH, KW, OH, OW;
  int64_t stride_h, stride_w;
  int64_t pad_top, pad_bottom, pad_left, pad_right;
  int64_t dilation_h, dilation_w;
  int32_t count_include_pad;  // average pooling only: divide by the window, or by its valid part
};

// Max pooling's argmax, an offset in the window, has 8 bits where that is enough, else 32.
PYCONV_PORTABLE bool argmax_is_uint8(const Pool2dShape& s) {
  return s.KH * s.KW <= 256;
}

// How much of a window that starts at `start` an average counts along one dimension: what lies in the padded input
// (a window may overhang it in ceil mode), or in the input.
PYCONV_PORTABLE int64_t averaged(int64_t start, int64_t kernel, int64_t size, int64_t pad_after,
                                 bool include_pad) {
  const int64_t end = start + kernel, most = include_pad ? size + pad_after : size;
  const int64_t count = (end < most ? end : most) - (include_pad || start > 0 ? start : 0);
  return include_pad || count > 0 ? count : 0;
}

// What an average is the sum of a window divided by. 1 for a window that counts nothing: its average is 0.
PYCONV_PORTABLE float average_divisor(const Pool2dShape& s, int64_t oh, int64_t ow) {
  const int64_t h = averaged(oh * s.stride_h - s.pad_top, s.KH, s.H, s.pad_bottom, s.count_include_pad);
  const int64_t w = averaged(ow * s.stride_w - s.pad_left, s.KW, s.W, s.pad_right, s.count_include_pad);
  return static_cast<float>(h * w > 1 ? h * w : 1);
}

// Windows of 2x2, stride 2, all inside the input.
PYCONV_PORTABLE bool windows_are_2x2(const Pool2dShape& s) {
  return s.KH == 2 && s.KW == 2 && s.stride_h == 2 && s.stride_w == 2 && s.dilation_h == 1 && s.dilation_w == 1 &&
         !s.pad_top && !s.pad_left && 2 * s.OH <= s.H && 2 * s.OW <= s.W;
}

// x (M, C): M = N * H * W rows of C channels.
struct BatchNormShape {
  int64_t M, C;
  float epsilon, momentum;  // running = momentum * running + (1 - momentum) * batch (Keras' meaning)
};

// x (N, C_in), weight (C_in, C_out), bias (C_out), y (N, C_out).
struct LinearShape {
  int64_t N, C_in, C_out;
};

// A dense layer is a 1x1 convolution over a row of N pixels.
PYCONV_PORTABLE Conv2dShape as_conv2d(const LinearShape& s) {
  Conv2dShape conv{};
  conv.N = conv.H = conv.OH = 1;
  conv.W = conv.OW = s.N;
  conv.C_in = s.C_in;
  conv.C_out = s.C_out;
  conv.KH = conv.KW = conv.stride_h = conv.stride_w = conv.dilation_h = conv.dilation_w = conv.groups = 1;
  return conv;
}

struct DropoutShape {
  int64_t size;
  float rate;        // fraction of elements set to zero, in [0, 1)
  uint32_t purpose;  // Philox purpose: a mask of its own for each layer
};

// N rows of K classes.
struct ClassShape {
  int64_t N, K;
  float label_smoothing;  // targets become (1 - s) * target + s / K
};

// a (M, A), b (M, B), y (M, A + B).
struct ConcatenateShape {
  int64_t M, A, B;
};

// source (M, elements), index (N), y (N, elements); element e belongs to channel e % C.
struct GatherShape {
  int64_t N, M, elements, C;
};

enum class FillMode : int32_t { kNearest, kConstant, kReflect };

// source (M, H, W, C), index (N), matrix (N, 6), y (N, H, W, C).
struct AffineShape {
  int64_t N, M, H, W, C;
  FillMode fill_mode;
  float fill_value;  // for kConstant
};

// Ranges of the random transforms, in Keras' units.
struct RandomAffineShape {
  int64_t N, H, W;
  float rotation_range;                    // degrees: uniform in [-r, r]
  float height_shift_range;                // fraction of H: uniform in [-r, r]
  float width_shift_range;                 // fraction of W: uniform in [-r, r]
  int32_t horizontal_flip, vertical_flip;  // each with probability 1/2
};

// Output size of a sliding window; with ceil_mode the last window may start inside the input or its leading
// padding and overhang the end, as in PyTorch: by less than a stride, even where it is the only one. 0: none fits.
inline int64_t window_output_size(int64_t size, int64_t kernel, int64_t stride, int64_t pad_before,
                                  int64_t pad_after, int64_t dilation, bool ceil_mode) {
  const int64_t span = size + pad_before + pad_after - dilation * (kernel - 1) - 1 + (ceil_mode ? stride - 1 : 0);
  if (span < 0) return 0;
  int64_t out = span / stride + 1;
  if (ceil_mode && (out - 1) * stride >= size + pad_before) --out;
  return out;
}

}  // namespace pyconv
