// Of some logits: the largest, and with d the distance of each from it, Σ e^d and Σ d e^d (online softmax, arXiv
// 1805.02867).
// needs: sampling
struct Softmax { maximum: f32, sum: f32, weighted: f32 }

const NO_LOGITS = Softmax(MASKED, 0.0, 0.0);

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

var<workgroup> softmax_parts: array<Softmax, LANES>;

// All of a workgroup's, in the order of a tree; for its first invocation.
fn all_softmaxes(mine: Softmax, lane: u32) -> Softmax {
  softmax_parts[lane] = mine;
  for (var width = LANES / 2u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (lane < width) { softmax_parts[lane] = merge_softmax(softmax_parts[lane], softmax_parts[lane + width]); }
  }
  workgroupBarrier();
  return softmax_parts[0];
}
