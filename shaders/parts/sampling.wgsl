// Shared by the sampling kernels. A workgroup has a tile of the vocabulary, of which neighbouring invocations take
// neighbouring tokens. Nothing here depends on the order in which invocations run, so the same seed gives the same token.
struct Tile { start: u32, end: u32 }

fn tile_of(group: u32) -> Tile { return Tile(group * TILE, min((group + 1u) * TILE, VOCAB)); }

const MASKED: f32 = -3.0e38;

// Orders floats as unsigned integers; the two zeros are equal.
fn order_key(value: f32) -> u32 {
  let bits = select(bitcast<u32>(value), 0u, value == 0.0);
  return select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u);
}

fn value_of(key: u32) -> f32 {
  return bitcast<f32>(select(~key, key & 0x7fffffffu, (key >> 31u) == 1u));
}
