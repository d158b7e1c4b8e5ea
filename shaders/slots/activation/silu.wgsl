// SiLU (arXiv 1702.03118), also called swish. The exponential stays finite: WGSL does not say what is divided by infinity.
fn activation(x: f32) -> f32 { return x / (1.0 + exp(min(-x, 88.0))); }
