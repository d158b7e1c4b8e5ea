// One f16 scale d for SCALE_SPAN blocks, two to a word. Weight = d · (code + CODE_OFFSET).
const MINIMA = select(0u, 1u, CODE_OFFSET != 0.0);

fn scales(row: u32, block: u32) -> vec4f {
  let i = (row * BLOCKS + block) / SCALE_SPAN;
  let pair = unpack2x16float(weight_scales[i / 2u]);
  let d = select(pair.x, pair.y, (i & 1u) == 1u);
  return vec2f(d, d * CODE_OFFSET).xxyy;
}
