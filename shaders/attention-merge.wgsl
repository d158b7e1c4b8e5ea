// Merges the splits of each (token, head): y = Σ exp(m_s − m) · output_s / Σ exp(m_s − m) · sum_s. One invocation for
// four components of a head.
// needs: keep-probe

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let width = NUM_HEADS * HEAD_DIM4;
  if (id.x >= params.tokens * width) { return; }
  let token = id.x / width;
  let head = (id.x % width) / HEAD_DIM4;
  let i = id.x % HEAD_DIM4;
  let first = (token * params.splits * NUM_HEADS + head) * (HEAD_DIM4 + 1u);
  let stride = NUM_HEADS * (HEAD_DIM4 + 1u);
  var maximum = -1e30;
  for (var s = 0u; s < params.splits; s++) {
    maximum = max(maximum, partial_outputs[first + s * stride + HEAD_DIM4].x);
  }
  var sum = 0.0;
  var output = vec4f();
  for (var s = 0u; s < params.splits; s++) {
    let softmax = partial_outputs[first + s * stride + HEAD_DIM4];
    let weight = exp(softmax.x - maximum);
    sum += weight * softmax.y;
    output += weight * partial_outputs[first + s * stride + i];
  }
  y[id.x] = output / sum;
  keep_probe(token, head, i, output / sum, vec2f(maximum, sum));
}
