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
