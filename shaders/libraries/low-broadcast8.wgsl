// As low-direct, for subgroups of exactly 8: each invocation loads one token's component and broadcasts it.
struct Column { first: vec4f, second: vec4f }

fn low_column(at: u32, next: u32, k: u32, local: u32) -> Column {
  let h = low_component(at + (local & 7u) * next, k);
  return Column(
    vec4f(subgroupBroadcast(h, 0u), subgroupBroadcast(h, 1u), subgroupBroadcast(h, 2u), subgroupBroadcast(h, 3u)),
    vec4f(subgroupBroadcast(h, 4u), subgroupBroadcast(h, 5u), subgroupBroadcast(h, 6u), subgroupBroadcast(h, 7u)));
}
