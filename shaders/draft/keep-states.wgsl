// states[position + 1] = x[t] / rms(x[t]) · norm_weight, unless that row is before `first[0]` or the token's pages do not begin
// at `first[1]`. LANES invocations a token.
// needs: reduce-sum
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let item = (group.y * groups.x + group.x) * (WORKGROUP / LANES) + local / LANES;
  let token = min(item, params.tokens - 1u);
  let base = token * WIDTH4;
  var squares = vec4f();
  for (var i = lane_of(local); i < WIDTH4; i += LANES) { squares += x[base + i] * x[base + i]; }
  let sum = dot(reduce_sum(squares, local), vec4f(1.0));
  let row = batch_table[token].y + 1u;
  if (item >= params.tokens || row < first[0] || batch_table[token].z != first[1]) { return; }
  let scale = inverseSqrt(sum / f32(WIDTH4 * 4u) + NORM_EPS);
  for (var i = lane_of(local); i < WIDTH4; i += LANES) { states[row * WIDTH4 + i] = x[base + i] * scale * norm_weight[i]; }
}
