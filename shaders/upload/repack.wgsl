// Rows of a tensor in its file's layout → the quants and scales buffers of kernels (parts/codes.wgsl, parts/scales.wgsl). An
// invocation writes one unit: 16 bytes of floats, or a block of 32 quantized columns. Bits move as integers, so that no number
// is rounded, and no subnormal one becomes 0. `fault` gets the complement of the first tensor that is not finite, or stays 0.
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
