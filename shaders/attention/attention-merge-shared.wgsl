// Like attention-merge, for many splits: one workgroup a (token, head). An invocation sums four components over every
// SUBSETS-th split.
// needs: keep-probe, rotated-value

// For each split (maximum, sum) of its softmax, then the weight of its outputs, and its sum times the weight.
var<workgroup> splits: array<vec2f, MAX_SPLITS>;
var<workgroup> parts: array<vec4f, WORKGROUP>;

fn unrotated(at: u32, k: u32) -> vec4f { return parts[at + k]; }

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) id: u32) {
  let head = workgroup.x;
  let token = workgroup.y;
  let i = id % HEAD_DIM4;
  let subset = id / HEAD_DIM4;
  let first = (token * params.splits * NUM_HEADS + head) * (HEAD_DIM4 + 1u);
  let stride = NUM_HEADS * (HEAD_DIM4 + 1u);
  for (var s = id; s < params.splits; s += WORKGROUP) { splits[s] = partial_outputs[first + s * stride + HEAD_DIM4].xy; }
  workgroupBarrier();
  var maximum = -1e30;
  for (var s = 0u; s < params.splits; s++) { maximum = max(maximum, splits[s].x); }
  workgroupBarrier();
  for (var s = id; s < params.splits; s += WORKGROUP) {
    let weight = exp(splits[s].x - maximum);
    splits[s] = vec2f(weight, weight * splits[s].y);
  }
  workgroupBarrier();
  var own = vec4f();
  if (subset < SUBSETS) {
    for (var s = subset; s < params.splits; s += SUBSETS) { own += splits[s].x * partial_outputs[first + s * stride + i]; }
  }
  parts[id] = own;
  workgroupBarrier();
  var output = vec4f();
  for (var s = 0u; s < SUBSETS; s++) { output += parts[s * HEAD_DIM4 + i]; }
  var sum = 0.0;
  for (var s = 0u; s < params.splits; s++) { sum += splits[s].y; }
  output /= sum;
  workgroupBarrier();
  if (id < HEAD_DIM4) { parts[i] = output; }
  workgroupBarrier();
  if (id >= HEAD_DIM4) { return; }
  y[(token * NUM_HEADS + head) * HEAD_DIM4 + i] = rotated(0u, i);
  keep_probe(token, head, i, output, vec2f(maximum, sum));
}
