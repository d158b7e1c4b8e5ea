// GELU (arXiv 1606.08415) by its tanh, which is 1 far from 0: WGSL's own may overflow there.
fn activation(x: f32) -> f32 {
  return 0.5 * x * (1.0 + tanh(clamp(0.7978845608 * x * (1.0 + 0.044715 * x * x), -15.0, 15.0)));
}
