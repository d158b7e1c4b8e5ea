// Reads x from end to end: the speed of light for kernels that must read every weight once.
// Each invocation adds up RUN neighbouring vectors.
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  var sum = vec4u();
  let start = id.x * RUN;
  for (var i = 0u; i < RUN; i++) { sum ^= x[start + i]; }
  y[id.x] = sum.x ^ sum.y ^ sum.z ^ sum.w;
}
