// y[r + t] = (x[s + t] / rms(x[s + t]) · norm_weight (+ y[r + t] with ACCUMULATE)) · scale; s is the first token, r its row.
// LANES invocations a token.
// needs: reduce-sum
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = (group.y * groups.x + group.x) * (WORKGROUP / LANES) + local / LANES;
  let token = min(row, params.tokens - 1u);
  let base = (params.start + token) * WIDTH4;
  let output = (params.to + token) * WIDTH4;
  var squares = vec4f();
  for (var i = lane_of(local); i < WIDTH4; i += LANES) { squares += x[base + i] * x[base + i]; }
  let sum = dot(reduce_sum(squares, local), vec4f(1.0));
  if (row >= params.tokens) { return; }
  let scale = inverseSqrt(sum / f32(WIDTH4 * 4u) + NORM_EPS);
  for (var i = lane_of(local); i < WIDTH4; i += LANES) {
    var value = x[base + i] * scale * norm_weight[i];
    if (ACCUMULATE) { value += y[output + i]; }
    y[output + i] = value * params.scale;
  }
}
