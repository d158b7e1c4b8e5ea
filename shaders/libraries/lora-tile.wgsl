// B · h of a tile of eight tokens for four outputs, summed over the adapters of their mix. Columns of B are read up to
// the highest rank in the tile; a token takes none above its own.
fn lora_tile(token: u32, row: u32) -> Tile {
  let linear = lora_linear(row);
  let next = NUM_LINEARS * params.adapters * params.lowStride;
  var sums = Tile();
  for (var index = 0u; index < params.adapters; index++) {
    let at = low_at(token, index, linear.index);
    let b = low[at].y + (row - linear.start) / 4u;
    let low_ranks = vec4u(low[at].x, low[at + next].x, low[at + 2u * next].x, low[at + 3u * next].x);
    let high_ranks =
      vec4u(low[at + 4u * next].x, low[at + 5u * next].x, low[at + 6u * next].x, low[at + 7u * next].x);
    let most = max(low_ranks, high_ranks);
    let rank = max(max(most.x, most.y), max(most.z, most.w));
    for (var k = 0u; k < rank; k++) {
      let w = lora_half4(lora[b + k * (linear.width / 4u)]);
      let none = vec4f();
      sums.a += select(none, low_component(at, k) * w, k < low_ranks.x);
      sums.b += select(none, low_component(at + next, k) * w, k < low_ranks.y);
      sums.c += select(none, low_component(at + 2u * next, k) * w, k < low_ranks.z);
      sums.d += select(none, low_component(at + 3u * next, k) * w, k < low_ranks.w);
      sums.e += select(none, low_component(at + 4u * next, k) * w, k < high_ranks.x);
      sums.f += select(none, low_component(at + 5u * next, k) * w, k < high_ranks.y);
      sums.g += select(none, low_component(at + 6u * next, k) * w, k < high_ranks.z);
      sums.h += select(none, low_component(at + 7u * next, k) * w, k < high_ranks.w);
    }
  }
  return sums;
}
