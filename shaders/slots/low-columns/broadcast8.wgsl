// As low-direct, for subgroups of exactly 8: each invocation loads one token's components and broadcasts them.
// needs: lora-linear, lora-tile
fn all_tokens(h: f32) -> Column {
  return Column(
    vec4f(subgroupBroadcast(h, 0u), subgroupBroadcast(h, 1u), subgroupBroadcast(h, 2u), subgroupBroadcast(h, 3u)),
    vec4f(subgroupBroadcast(h, 4u), subgroupBroadcast(h, 5u), subgroupBroadcast(h, 6u), subgroupBroadcast(h, 7u)));
}

fn low_columns(at: u32, next: u32, k: u32, local: u32) -> Columns {
  let h = low_pair(at + (local & 7u) * next, k);
  return Columns(all_tokens(h.x), all_tokens(h.y));
}
