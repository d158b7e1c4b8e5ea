#variant codes/5bit-runs
// Like 5bit, for tiles: the upper bits of this block and of the invocation's later block of the run.
// needs: fifth-bits, nibbles
struct RawCodes { low: vec4u, high: u32, later: u32 }

fn first_codes(raw: RawCodes) -> Codes8 {
  return Codes8(nibbles4(raw.low.x) + fifth_bits(raw.high), nibbles4(raw.low.x >> 16u) + fifth_bits(raw.high >> 4u));
}

fn codes_behind(raw: RawCodes) -> RawCodes { return RawCodes(raw.low.yzwx, raw.high >> 8u, raw.later); }

#variant codes/3bit-runs
// Like 3bit, for tiles: the quants of this block and of the next one.
// needs: pairs, third-bits
struct RawCodes { low: vec2u, high: u32, next: vec3u }

fn codes_of(low: vec2u, high: u32, next: vec3u) -> RawCodes { return RawCodes(low, high, next); }

fn first_codes(raw: RawCodes) -> Codes8 {
  return Codes8(pairs4(raw.low.x) + third_bits(raw.high), pairs4(raw.low.x >> 8u) + third_bits(raw.high >> 4u));
}

fn codes_behind(raw: RawCodes) -> RawCodes { return RawCodes(pairs_behind(raw.low), raw.high >> 8u, raw.next); }

#variant codes/1bit-runs
// Like 1bit, for tiles: the quants of this block and of the next ones.
// needs: block, bits
struct RawCodes { bits: u32, next: vec3u }

fn first_codes(raw: RawCodes) -> Codes8 { return Codes8(bits4(raw.bits), bits4(raw.bits >> 4u)); }

fn codes_behind(raw: RawCodes) -> RawCodes { return RawCodes(raw.bits >> 8u, raw.next); }

#variant codes/grid-runs
// Like grid, for tiles: the quants of this block and of the next one. The upper four bits of a block's word of signs are its
// own scale.
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

#variant next-codes/each
// Reads the quants of each part by itself.
// needs: codes
fn next_codes(before: RawCodes, row: u32, part: u32, begins_run: bool) -> RawCodes { return raw_codes(row, part); }

#variant next-codes/bits
// Reads four consecutive blocks of an invocation at once.
// needs: codes
fn next_codes(before: RawCodes, row: u32, part: u32, begins_run: bool) -> RawCodes {
  if (!begins_run) { return RawCodes(before.next.x, before.next.yzz); }
  let i = row * BLOCKS + part;
  let words = weight[i / 4u];
  return RawCodes(words[i % 4u], vec3u(words[(i + 1u) % 4u], words.zw));
}

#variant next-codes/fifth-bits
// Reads the upper bits of four blocks at once. Two invocations have two blocks each: the `j`th and the one two after it.
// needs: codes
fn next_codes(before: RawCodes, row: u32, part: u32, begins_run: bool) -> RawCodes {
  let i = row * BLOCKS + part;
  if (!begins_run) { return RawCodes(weight[i], before.later, 0u); }
  let words = weight_high[i / 4u];
  let high = select(words.xz, words.yw, (i & 1u) == 1u);
  return RawCodes(weight[i], select(high.x, high.y, (i & 2u) != 0u), high.y);
}

#variant next-codes/two-blocks
// Reads the quants and upper bits of two consecutive blocks of an invocation at once.
// needs: codes
fn next_codes(before: RawCodes, row: u32, part: u32, begins_run: bool) -> RawCodes {
  if (!begins_run) { return codes_of(before.next.xy, before.next.z, vec3u()); }
  let i = row * BLOCKS + part;
  let low = weight[i / 2u];
  let high = weight_high[i / 2u];
  let is_second = (i & 1u) == 1u;
  return codes_of(select(low.xy, low.zw, is_second), select(high.x, high.y, is_second), vec3u(low.zw, high.y));
}
