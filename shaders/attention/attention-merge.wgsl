// Merges the splits of each (token, head): y = Σ exp(m_s − m) · output_s / Σ exp(m_s − m) · sum_s. One invocation for
// four components of a head, which it rotates with those of its neighbours.
// needs: keep-probe, rotated-value, split-outputs
var<workgroup> merged: array<vec4f, WORKGROUP>;

fn unrotated(at: u32, k: u32) -> vec4f { return merged[at + k]; }

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) local: u32) {
  let width = NUM_HEADS * HEAD_DIM4;
  let item = min(id.x, params.tokens * width - 1u);
  let token = item / width;
  let head = (item % width) / HEAD_DIM4;
  let i = item % HEAD_DIM4;
  let first = first_split(token, head);
  var maximum = -1e30;
  for (var s = 0u; s < params.splits; s++) { maximum = max(maximum, partial_outputs[first + s * NEXT_SPLIT + HEAD_DIM4].x); }
  var sum = 0.0;
  var output = vec4f();
  for (var s = 0u; s < params.splits; s++) {
    let softmax = partial_outputs[first + s * NEXT_SPLIT + HEAD_DIM4];
    let weight = exp(softmax.x - maximum);
    sum += weight * softmax.y;
    output += weight * partial_outputs[first + s * NEXT_SPLIT + i];
  }
  merged[local] = output / sum;
  workgroupBarrier();
  if (id.x != item) { return; }
  y[item] = rotated(local - i % BLOCK4, i % BLOCK4);
  keep_probe(token, head, i, output / sum, vec2f(maximum, sum));
}
