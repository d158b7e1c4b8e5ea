// GELU (arXiv 1606.08415) as it is defined, x · Φ(x): with the error function by Abramowitz and Stegun's 7.1.26, which is
// within 1.5e-7 of it.
fn activation(x: f32) -> f32 {
  let size = min(abs(x) * 0.70710678, 9.0); // from there on it is 1, and its exponential stays finite
  let t = 1.0 / (1.0 + 0.3275911 * size);
  let series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  let beyond = 0.5 * series * exp(-size * size); // the share of the bell curve beyond |x|
  return x * select(1.0 - beyond, beyond, x < 0.0);
}
