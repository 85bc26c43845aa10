// What comes before and after every algorithm's weight gradient: dy is made from what follows the convolution, and
// the sums of the parts that pixels were cut into are added up.
#include "conv2d.cuh"
#include "conv2d_gradient.cuh"

namespace pyconv::cuda {

namespace {

// dy, written.
struct MakeGradient {
  Conv2dGradient gradient;
  int64_t OH, OW, C;
  template <int kWidth, class Index>
  PYCONV_DEVICE void operator()(Index i) const {
    const Index pixel = i / static_cast<Index>(C), c = i % static_cast<Index>(C);
    Index window = 0;
    int tap = 0;
    if (gradient.argmax) {
      const Index height = static_cast<Index>(OH), width = static_cast<Index>(OW);
      const Index w = pixel % width, row = pixel / width, h = row % height, n = row / height;
      window = (n * (height / 2) + h / 2) * (width / 2) + w / 2;
      tap = static_cast<int>(h % 2 * 2 + w % 2);
    }
    store(gradient.dy + i, gradient_at<kWidth>(gradient, C, pixel, window, tap, c));
  }
};

// The parts, added in an order of their own: a warp takes 32 elements of every 16th part, so that hundreds of
// parts are not hundreds of waits.
struct AddParts {
  static constexpr int kSlices = 16, kThreads = kSlices * kWarp;
  static constexpr size_t kSharedBytes = kThreads * sizeof(float);
  int64_t parts, size, rows, columns, C_out;
  const float* sums;
  float *dweight, *dbias;
  PYCONV_DEVICE void operator()() const {
    const int64_t i = block_index() * kWarp + lane_index();
    float sum = 0;
    if (i < size) {
#pragma unroll 8
      for (int64_t part = warp_index(); part < parts; part += kSlices) sum += sums[part * size + i];
    }
    sum = join_rows<kWarp, kSlices>(sum, [](float& a, float b) { a += b; });
    if (warp_index() || i >= size) return;
    const int64_t n = i % columns, m = i / columns % rows, c = i / columns / rows * columns + n;
    if (m + 1 < rows)
      dweight[m * C_out + c] = sum;
    else if (dbias)
      dbias[c] = sum;
  }
};

}  // namespace

Status make_gradient(const Context& context, const Conv2dShape& s, const Conv2dGradient& gradient) {
  const ScaleShift& n = gradient.normalization;
  return for_packs(context, s.N * s.OH * s.OW, s.C_out, MakeGradient{gradient, s.OH, s.OW, s.C_out}, gradient.d,
                   gradient.argmax, gradient.y, gradient.coefficients, n.relu ? n.scale : nullptr,
                   n.relu ? n.shift : nullptr, gradient.dy);
}

Status add_weight_parts(const Context& context, const Conv2dShape& s, int64_t parts, const float* sums,
                        float* dweight, float* dbias) {
  const int64_t rows = s.KH * s.KW * (s.C_in / s.groups) + 1, columns = s.C_out / s.groups;
  const int64_t size = s.groups * rows * columns;
  const AddParts body{parts, size, rows, columns, s.C_out, sums, dweight, dbias};
  return launch(context, body, {ceil_div(size, kWarp)}, body.kSharedBytes);
}

}  // namespace pyconv::cuda
