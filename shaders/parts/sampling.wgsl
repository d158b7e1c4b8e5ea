// Shared by the sampling kernels. SCANNERS invocations each own a run of the vocabulary; sums over the runs are taken in
// order, so the same seed gives the same token.
struct Run { start: u32, end: u32 }

fn run_of(scanner: u32) -> Run {
  let length = (VOCAB + SCANNERS - 1u) / SCANNERS;
  return Run(min(scanner * length, VOCAB), min((scanner + 1u) * length, VOCAB));
}

const MASKED: f32 = -3.0e38;

// Orders floats as unsigned integers; the two zeros are equal.
fn order_key(value: f32) -> u32 {
  let bits = select(bitcast<u32>(value), 0u, value == 0.0);
  return select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u);
}

// What a search for a filter's cut knows: the upper digits of the key at it, the weight of the tokens above, and the
// weight that the kept tokens must reach.
struct Search { key: u32, above: f32, target_weight: f32 }

// Of some logits: the largest, and with d the distance of each from it, Σ e^d and Σ d e^d.
struct Softmax { maximum: f32, sum: f32, weighted: f32 }

fn merge_softmax(a: Softmax, b: Softmax) -> Softmax {
  if (b.maximum > a.maximum) { return add_below(b, a); }
  return add_below(a, b);
}

fn add_below(a: Softmax, b: Softmax) -> Softmax {
  // Farther away, e^d is 0 in f32; and where d is infinite, d · 0 is no number.
  let d = max(b.maximum - a.maximum, -200.0);
  let shrink = exp(d);
  return Softmax(a.maximum, a.sum + shrink * b.sum, a.weighted + shrink * (b.weighted + d * b.sum));
}
