// Rows of a tensor as they lie in its file → the planes that kernels read (slots/codes, slots/scales). An invocation
// writes one unit: 16 bytes of floats, or a block of 32 quantized columns. Bits move as integers, so that no number is
// rounded, or flushed to 0 where it is subnormal. The first tensor that is not finite is told, as its
// complement: 0 is none.
// needs: repack-unit

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * WORKGROUP + local;
  if (i >= params.units) { return; }
  if (!repack_unit(i)) { atomicMax(&fault[0], ~params.tensor); }
}
