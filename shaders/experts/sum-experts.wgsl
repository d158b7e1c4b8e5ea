// y[t] = residual[t] + scale · Σ share · x[t, expert] over the token's experts, in order. One invocation a token and four
// columns.
// needs: residual
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let column = id.x;
  if (column >= WIDTH4) { return; }
  var sum = vec4f();
  for (var i = id.y * EXPERTS_USED; i < (id.y + 1u) * EXPERTS_USED; i++) {
    sum += bitcast<f32>(routes[i].y) * x[i * WIDTH4 + column];
  }
  let at = id.y * WIDTH4 + column;
  y[at] = residual(at) + params.scale * sum;
}
