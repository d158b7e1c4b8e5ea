// x[t] = (x[t] − mean) / deviation · norm_weight + norm_bias, in place. LANES invocations a token.
// needs: reduce-sum
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = group.x * (WORKGROUP / LANES) + local / LANES;
  let base = min(row, params.tokens - 1u) * WIDTH4;
  var total = vec4f();
  for (var i = lane_of(local); i < WIDTH4; i += LANES) { total += x[base + i]; }
  let mean = dot(reduce_sum(total, local), vec4f(1.0)) / f32(WIDTH4 * 4u);
  var squares = vec4f();
  for (var i = lane_of(local); i < WIDTH4; i += LANES) {
    let apart = x[base + i] - mean;
    squares += apart * apart;
  }
  let variance = dot(reduce_sum(squares, local), vec4f(1.0)) / f32(WIDTH4 * 4u);
  if (row >= params.tokens) { return; }
  let scale = inverseSqrt(variance + NORM_EPS);
  for (var i = lane_of(local); i < WIDTH4; i += LANES) {
    x[base + i] = (x[base + i] - mean) * scale * norm_weight[i] + norm_bias[i];
  }
}
