// x[t] += the row of `positions` at the position of the t-th token. One invocation a token and four columns.
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let column = id.x;
  if (column >= WIDTH4) { return; }
  x[id.y * WIDTH4 + column] += positions[batch_table[id.y].y * WIDTH4 + column];
}
