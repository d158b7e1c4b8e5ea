// As input-broadcast8, for subgroups of exactly 4 (SwiftShader): each invocation loads two vectors.
// needs: block, input
fn load_block(first: u32, local: u32) -> Block {
  let u = input(first + (local & 3u));
  let v = input(first + 4u + (local & 3u));
  return Block(
    subgroupBroadcast(u, 0u), subgroupBroadcast(u, 1u), subgroupBroadcast(u, 2u), subgroupBroadcast(u, 3u),
    subgroupBroadcast(v, 0u), subgroupBroadcast(v, 1u), subgroupBroadcast(v, 2u), subgroupBroadcast(v, 3u));
}
