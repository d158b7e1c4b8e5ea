// IQ3_XXS: eight blocks share an f16 d, two to a word; the upper four bits of a block's word in `weight_high` are its own
// scale. Weight = d · (scale + 1/2) / 2 · code.
const MINIMA = 0u;

fn scales(row: u32, block: u32) -> vec4f {
  let i = row * BLOCKS + block;
  let pair = unpack2x16float(weight_scales[i / 16u]);
  let d = select(pair.x, pair.y, (i & 8u) != 0u) * (f32(i32(weight_high[i] >> 28u)) * 0.5 + 0.25);
  return vec4f(d, d, 0.0, 0.0);
}
