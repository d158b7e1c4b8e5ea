// Pseudorandom words, the same in every run; bits that MASK lacks are those of BITS. An invocation writes one word (pcg hash:
// Jarzynski and Olano, Hash Functions for GPU Rendering, 2020).
@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * WORKGROUP + local;
  if (i >= params.words) { return; }
  let state = i * 747796405u + 2891336453u;
  let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
  y[i] = ((word ^ (word >> 22u)) & MASK) | BITS;
}
