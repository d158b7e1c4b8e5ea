// y[t] = activation(gate[t]) · up[t]; x[t] holds gate, then up. One invocation a token and four columns.
// needs: activation
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let column = id.x;
  if (column >= WIDTH4) { return; }
  let gate = x[id.y * 2u * WIDTH4 + column];
  let up = x[(id.y * 2u + 1u) * WIDTH4 + column];
  let activated = vec4f(activation(gate.x), activation(gate.y), activation(gate.z), activation(gate.w));
  y[id.y * WIDTH4 + column] = activated * up;
}
