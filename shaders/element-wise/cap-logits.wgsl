// logits = CAP · tanh(logits / CAP), in place; the clamp avoids an overflow of WGSL's tanh. One invocation a logit.
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= VOCABULARY) { return; }
  let at = id.y * VOCABULARY + id.x;
  logits[at] = CAP * tanh(clamp(logits[at] / CAP, -15.0, 15.0));
}
