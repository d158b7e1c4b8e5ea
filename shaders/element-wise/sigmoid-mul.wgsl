// y[t] *= sigmoid(gate[t]); the gate is in a row of x from GATE4 on. One invocation a token and four columns.
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let column = id.x;
  if (column >= WIDTH4) { return; }
  let gate = x[id.y * ROW4 + GATE4 + column];
  y[id.y * WIDTH4 + column] *= 1.0 / (1.0 + exp(min(-gate, vec4f(88.0))));
}
