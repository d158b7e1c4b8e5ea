// Two blocks are read at once, which an invocation has one after the other. The upper four bits of a word of signs are its
// block's scale.
// needs: codes
fn scaled(places: vec2u, signs: u32, next: vec3u) -> RawCodes {
  return RawCodes(places, signs, f32(i32(signs >> 28u)) * 0.5 + 0.25, next);
}

fn next_codes(before: RawCodes, row: u32, part: u32, begins_run: bool) -> RawCodes {
  if (!begins_run) { return scaled(before.next.xy, before.next.z, vec3u()); }
  let i = row * BLOCKS + part;
  let places = weight[i / 2u];
  let signs = weight_high[i / 2u];
  let is_second = (i & 1u) == 1u;
  return scaled(select(places.xy, places.zw, is_second), select(signs.x, signs.y, is_second), vec3u(places.zw, signs.y));
}
