// x[t] = activation(x[t]), in place. One invocation a token and four columns.
// needs: activation
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let column = id.x;
  if (column >= WIDTH4) { return; }
  let at = id.y * WIDTH4 + column;
  let value = x[at];
  x[at] = vec4f(activation(value.x), activation(value.y), activation(value.z), activation(value.w));
}
