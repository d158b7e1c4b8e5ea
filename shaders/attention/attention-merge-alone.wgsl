// Like attention-merge, without barriers: an invocation has a block of components that are rotated together, and rotates its
// own sums. For many tokens, which usually have one split.
// needs: keep-probe, rotation, split-outputs
const BLOCKS = HEAD_DIM4 / BLOCK4;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.tokens * NUM_HEADS * BLOCKS) { return; }
  let token = id.x / (NUM_HEADS * BLOCKS);
  let head = id.x / BLOCKS % NUM_HEADS;
  let start = id.x % BLOCKS * BLOCK4;
  let first = first_split(token, head);
  var maximum = -1e30;
  for (var s = 0u; s < params.splits; s++) { maximum = max(maximum, partial_outputs[first + s * NEXT_SPLIT + HEAD_DIM4].x); }
  var sum = 0.0;
  var block: array<vec4f, BLOCK4>;
  for (var s = 0u; s < params.splits; s++) {
    let split = first + s * NEXT_SPLIT;
    let softmax = partial_outputs[split + HEAD_DIM4];
    let weight = exp(softmax.x - maximum);
    sum += weight * softmax.y;
    for (var i = 0u; i < BLOCK4; i++) { block[i] += weight * partial_outputs[split + start + i]; }
  }
  for (var i = 0u; i < BLOCK4; i++) { keep_probe(token, head, start + i, block[i] / sum, vec2f(maximum, sum)); }
  for (var apart = 1u; apart < BLOCK4; apart *= 2u) {
    for (var i = 0u; i < BLOCK4; i++) {
      if ((i & apart) != 0u) { continue; }
      let other = block[i + apart];
      block[i + apart] = block[i] - other;
      block[i] += other;
    }
  }
  let output = (token * NUM_HEADS + head) * HEAD_DIM4 + start;
  for (var i = 0u; i < BLOCK4; i++) { y[output + i] = rotated_within(block[i]) / sum; }
}
