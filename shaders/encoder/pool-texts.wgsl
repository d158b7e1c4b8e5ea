// pooled[n] = mean of the hidden states of the tokens in span n. One invocation a span and four columns.
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let column = id.x;
  if (column >= WIDTH4) { return; }
  let span = spans[id.y];
  var sum = vec4f();
  for (var token = span.x; token < span.x + span.y; token++) { sum += x[token * WIDTH4 + column]; }
  pooled[id.y * WIDTH4 + column] = sum / f32(span.y);
}
