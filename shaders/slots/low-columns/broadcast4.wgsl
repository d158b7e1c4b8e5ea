// As low-direct, for subgroups of exactly 4: each invocation loads the components of two tokens and broadcasts them.
// needs: lora-linear, lora-tile
fn four_tokens(h: f32) -> vec4f {
  return vec4f(subgroupBroadcast(h, 0u), subgroupBroadcast(h, 1u), subgroupBroadcast(h, 2u), subgroupBroadcast(h, 3u));
}

fn low_columns(at: u32, next: u32, k: u32, local: u32) -> Columns {
  let h = low_pair(at + (local & 3u) * next, k);
  let g = low_pair(at + (4u + (local & 3u)) * next, k);
  return Columns(Column(four_tokens(h.x), four_tokens(g.x)), Column(four_tokens(h.y), four_tokens(g.y)));
}
