// x[t] = activation(x[t]) · inputs[t, start], in place; a row of `inputs` has the inputs of all layers. One invocation a token
// and four columns.
// needs: activation
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let column = id.x;
  if (column >= WIDTH4) { return; }
  let at = id.y * WIDTH4 + column;
  let gate = x[at];
  x[at] = vec4f(activation(gate.x), activation(gate.y), activation(gate.z), activation(gate.w)) * inputs[id.y * ROW4 + params.start4 + column];
}
