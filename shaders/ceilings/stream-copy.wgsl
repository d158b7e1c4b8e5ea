// Copies x to y: each invocation copies RUN vectors; neighbours copy neighbouring vectors.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let start = group.x * 64u * RUN + lane;
  for (var i = 0u; i < RUN; i++) { y[start + i * 64u] = x[start + i * 64u]; }
}
