// Dense layers, as convolutions: the entries of whichever backend includes this, in its namespace.
Status linear(const Context& context, const LinearShape& s, const float* x, const float* weight, const float* bias,
              float* y) {
  return conv2d(context, as_conv2d(s), x, weight, bias, y);
}

Status linear_backward_input(const Context& context, const LinearShape& s, const float* dy, const float* weight,
                             float* dx) {
  return conv2d_backward_input(context, as_conv2d(s), dy, weight, dx);
}

Status linear_backward_weight(const Context& context, const LinearShape& s, const float* dy, const float* x,
                              float* dweight, float* dbias) {
  return conv2d_backward_weight(context, as_conv2d(s), dy, x, dweight, dbias);
}

size_t linear_workspace(const Context& context, const LinearShape& s, Conv2dPass pass) {
  return conv2d_workspace(context, as_conv2d(s), pass);
}
