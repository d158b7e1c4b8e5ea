// Components k and k + 1 (k is even) of h for a tile of eight tokens, `next` units apart.
// needs: lora-linear, lora-tile
fn low_columns(at: u32, next: u32, k: u32, local: u32) -> Columns {
  let a = low_pair(at, k);
  let b = low_pair(at + next, k);
  let c = low_pair(at + 2u * next, k);
  let d = low_pair(at + 3u * next, k);
  let e = low_pair(at + 4u * next, k);
  let f = low_pair(at + 5u * next, k);
  let g = low_pair(at + 6u * next, k);
  let h = low_pair(at + 7u * next, k);
  return Columns(
    Column(vec4f(a.x, b.x, c.x, d.x), vec4f(e.x, f.x, g.x, h.x)),
    Column(vec4f(a.y, b.y, c.y, d.y), vec4f(e.y, f.y, g.y, h.y)));
}
