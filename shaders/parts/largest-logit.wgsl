// The largest logit of all tiles, for every invocation.
// needs: sampling
var<workgroup> largest_key: atomic<u32>;

fn largest_logit(lane: u32) -> f32 {
  var largest = MASKED;
  for (var tile = lane; tile < TILES; tile += LANES) { largest = max(largest, best_logits[tile]); }
  atomicMax(&largest_key, order_key(largest));
  workgroupBarrier();
  return value_of(atomicLoad(&largest_key));
}
