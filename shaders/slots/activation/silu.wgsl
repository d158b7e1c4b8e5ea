// SiLU (arXiv 1702.03118), also called swish.
fn activation(x: f32) -> f32 { return x / (1.0 + exp(-x)); }
