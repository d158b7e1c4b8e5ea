#variant activation/none
// Linears without a gate.
fn activation(x: f32) -> f32 { return x; }

#variant activation/silu
// SiLU (arXiv 1702.03118), also called swish. The exponential stays finite: WGSL does not define a division by infinity.
fn activation(x: f32) -> f32 { return x / (1.0 + exp(min(-x, 88.0))); }

#variant activation/gelu
// GELU (arXiv 1606.08415), tanh approximation. The clamp avoids an overflow of WGSL's tanh, which is 1 beyond it.
fn activation(x: f32) -> f32 {
  return 0.5 * x * (1.0 + tanh(clamp(0.7978845608 * x * (1.0 + 0.044715 * x * x), -15.0, 15.0)));
}

#variant activation/gelu-erf
// GELU (arXiv 1606.08415), x · Φ(x), with Abramowitz and Stegun's approximation 7.1.26 of the error function (error 1.5e-7).
fn activation(x: f32) -> f32 {
  let size = min(abs(x) * 0.70710678, 9.0); // beyond 9 the result is 1; the exponential stays finite
  let t = 1.0 / (1.0 + 0.3275911 * size);
  let series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  let beyond = 0.5 * series * exp(-size * size); // the share of the bell curve beyond |x|
  return x * select(1.0 - beyond, beyond, x < 0.0);
}
