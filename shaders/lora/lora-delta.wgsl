// Between two linears of a token being decoded: y = x + SCALE · B · h adds the adapters of the linear before to the residual
// stream; h' = A · (y · norm_weight) is for the linears after, whose kernel multiplies by 1 / rms(y). WRITING workgroups write
// y. Each other workgroup takes a run of components of A and computes the y that it needs. These take longer and are spread
// evenly among the others: lavapipe gives each core a run of workgroups.
// fills: input
// needs: lora-add, lora-low
const WIDTH4 = BLOCKS * 8u;

fn changed(i: u32) -> vec4f { return x[i] + SCALE * lora_add(i / WIDTH4, i % WIDTH4 * 4u, 0u, 1u); }

fn input(i: u32) -> vec4f { return changed(i) * norm_weight[i % WIDTH4]; }

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let lowering = groups.x - WRITING;
  let before = group.x * lowering / groups.x;
  if ((group.x + 1u) * lowering / groups.x > before) {
    lora_low(group.y, before, local);
    return;
  }
  let i = (group.x - before) * WORKGROUP + local;
  if (i < WIDTH4) { y[group.y * WIDTH4 + i] = changed(group.y * WIDTH4 + i); }
}
