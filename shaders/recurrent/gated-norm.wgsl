// y[t, h] = y[t, h] / rms(y[t, h]) · norm_weight · silu(gate[t, h]), in place. LANES invocations a (token, head).
// needs: activation, reduce-sum
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = group.x * (WORKGROUP / LANES) + local / LANES;
  let count = params.tokens * NUM_HEADS;
  let item = min(row, count - 1u);
  let base = item * HEAD4;
  let gate_base = (item / NUM_HEADS) * ROW4 + GATE4 + (item % NUM_HEADS) * HEAD4;
  var squares = vec4f();
  for (var i = lane_of(local); i < HEAD4; i += LANES) { squares += y[base + i] * y[base + i]; }
  let sum = dot(reduce_sum(squares, local), vec4f(1.0));
  if (row >= count) { return; }
  let scale = inverseSqrt(sum / f32(HEAD4 * 4u) + NORM_EPS);
  for (var i = lane_of(local); i < HEAD4; i += LANES) {
    let gate = x[gate_base + i];
    y[base + i] *= scale * norm_weight[i] * vec4f(activation(gate.x), activation(gate.y), activation(gate.z), activation(gate.w));
  }
}
