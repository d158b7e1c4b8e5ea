// As low-direct, for subgroups of exactly 4: each invocation loads a component of two tokens and broadcasts them.
struct Column { first: vec4f, second: vec4f }

fn low_column(at: u32, next: u32, k: u32, local: u32) -> Column {
  let h = low_component(at + (local & 3u) * next, k);
  let g = low_component(at + (4u + (local & 3u)) * next, k);
  return Column(
    vec4f(subgroupBroadcast(h, 0u), subgroupBroadcast(h, 1u), subgroupBroadcast(h, 2u), subgroupBroadcast(h, 3u)),
    vec4f(subgroupBroadcast(g, 0u), subgroupBroadcast(g, 1u), subgroupBroadcast(g, 2u), subgroupBroadcast(g, 3u)));
}
