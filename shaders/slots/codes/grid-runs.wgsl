// As grid, in tiles: of what was read, this block's and the next one's. A block's own scale is among its codes: the upper four
// bits of its word of signs.
// needs: grid4
struct RawCodes { places: vec2u, signs: u32, scale: f32, next: vec3u }

fn codes_of(places: vec2u, signs: u32, next: vec3u) -> RawCodes {
  return RawCodes(places, signs, f32(i32(signs >> 28u)) * 0.5 + 0.25, next);
}

fn first_codes(raw: RawCodes) -> Codes8 {
  let signs = signs8(raw.signs);
  return Codes8(grid4(raw.places.x, signs) * raw.scale, grid4(raw.places.x >> 8u, signs >> 4u) * raw.scale);
}

fn codes_behind(raw: RawCodes) -> RawCodes {
  let places = vec2u((raw.places.x >> 16u) | (raw.places.y << 16u), raw.places.y >> 16u);
  return RawCodes(places, raw.signs >> 7u, raw.scale, raw.next);
}
