// y[t] = silu(gate[t]) · up[t], where x[t] holds gate, then up. One invocation a token and four columns.
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let column = id.x;
  if (column >= WIDTH4) { return; }
  let gate = x[id.y * 2u * WIDTH4 + column];
  let up = x[(id.y * 2u + 1u) * WIDTH4 + column];
  y[id.y * WIDTH4 + column] = gate / (1.0 + exp(-gate)) * up;
}
