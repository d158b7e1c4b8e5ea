// y[t] = [x[t] / rms(x[t]) · token_weight, s / rms(s) · state_weight]; s is the row of `states` at the token's position. LANES
// invocations for each half of a row.
// needs: reduce-sum
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let item = (group.y * groups.x + group.x) * (WORKGROUP / LANES) + local / LANES;
  let half = min(item, 2u * params.tokens - 1u);
  let token = half / 2u;
  let is_state = half % 2u == 1u;
  let base = select(token, batch_table[token].y, is_state) * WIDTH4;
  var squares = vec4f();
  for (var i = lane_of(local); i < WIDTH4; i += LANES) {
    let value = taken(base + i, is_state);
    squares += value * value;
  }
  let scale = inverseSqrt(dot(reduce_sum(squares, local), vec4f(1.0)) / f32(WIDTH4 * 4u) + NORM_EPS);
  if (item >= 2u * params.tokens) { return; }
  for (var i = lane_of(local); i < WIDTH4; i += LANES) {
    y[half * WIDTH4 + i] = taken(base + i, is_state) * scale * weight_at(i, is_state);
  }
}

fn taken(at: u32, is_state: bool) -> vec4f {
  if (is_state) { return states[at]; }
  return x[at];
}

fn weight_at(i: u32, is_state: bool) -> vec4f {
  if (is_state) { return state_weight[i]; }
  return token_weight[i];
}
