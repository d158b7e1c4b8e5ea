// Reads x from end to end: the speed of light for kernels that must read every weight once. Each invocation adds up RUN
// vectors, the workgroup's 64 · RUN of them lie together: neighbours read neighbours, or each a run of its own.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  var sum = vec4u();
  let start = group.x * 64u * RUN + lane * LANE_STEP;
  for (var i = 0u; i < RUN; i++) { sum ^= x[start + i * RUN_STEP]; }
  y[group.x * 64u + lane] = sum.x ^ sum.y ^ sum.z ^ sum.w;
}
