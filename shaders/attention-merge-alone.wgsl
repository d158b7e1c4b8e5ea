// What attention-merge does, without waiting for neighbours: rotated outputs are summed, since a sum's rotation is the sum of
// rotations. Reads a block of each split where that reads a vector, so it is for few splits.
// needs: keep-probe, rotated-value, split-outputs
fn unrotated(at: u32, k: u32) -> vec4f { return partial_outputs[at + k]; }

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let width = NUM_HEADS * HEAD_DIM4;
  if (id.x >= params.tokens * width) { return; }
  let token = id.x / width;
  let head = (id.x % width) / HEAD_DIM4;
  let i = id.x % HEAD_DIM4;
  let first = first_split(token, head);
  let maximum = largest_maximum(first);
  var sum = 0.0;
  var plain = vec4f();
  var output = vec4f();
  for (var s = 0u; s < params.splits; s++) {
    let split = first + s * NEXT_SPLIT;
    let softmax = partial_outputs[split + HEAD_DIM4];
    let weight = exp(softmax.x - maximum);
    sum += weight * softmax.y;
    plain += weight * partial_outputs[split + i];
    output += weight * rotated(split, i);
  }
  y[id.x] = output / sum;
  keep_probe(token, head, i, plain / sum, vec2f(maximum, sum));
}
