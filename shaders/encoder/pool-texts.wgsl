// pooled[n] = mean of the states of the n-th text's tokens that `spans` names. One invocation a text and four columns.
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let column = id.x;
  if (column >= WIDTH4) { return; }
  let span = spans[id.y];
  var sum = vec4f();
  for (var token = span.x; token < span.x + span.y; token++) { sum += x[token * WIDTH4 + column]; }
  pooled[id.y * WIDTH4 + column] = sum / f32(span.y);
}
