// Reads all of x: the ceiling of kernels that read every weight once. Each invocation combines RUN vectors; the 64 · RUN vectors
// of a workgroup are contiguous. Neighbours read neighbouring vectors, or each reads a run of its own.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  var sum = vec4u();
  let start = group.x * 64u * RUN + lane * LANE_STEP;
  for (var i = 0u; i < RUN; i++) { sum ^= x[start + i * RUN_STEP]; }
  y[group.x * 64u + lane] = sum.x ^ sum.y ^ sum.z ^ sum.w;
}
