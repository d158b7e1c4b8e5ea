// Subgroups of exactly 8, whose invocations need the same inputs: each loads one vector and broadcasts it. On lavapipe
// a load is done lane by lane, so this is an eighth of the loads. Counts on subgroups being runs of local indices.
// needs: block, input
fn load_block(first: u32, local: u32) -> Block {
  let v = input(first + (local & 7u));
  return Block(
    subgroupBroadcast(v, 0u), subgroupBroadcast(v, 1u), subgroupBroadcast(v, 2u), subgroupBroadcast(v, 3u),
    subgroupBroadcast(v, 4u), subgroupBroadcast(v, 5u), subgroupBroadcast(v, 6u), subgroupBroadcast(v, 7u));
}
