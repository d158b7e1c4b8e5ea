// One f16 scale d a block, two to a word. Weight = d · (code + CODE_OFFSET).
const HAS_MINIMUM = CODE_OFFSET != 0.0;

fn scales(row: u32, block: u32) -> vec3f {
  let i = row * BLOCKS + block;
  let pair = unpack2x16float(weight_scales[i / 2u]);
  let d = select(pair.x, pair.y, (i & 1u) == 1u);
  return vec3f(d, d, d * CODE_OFFSET);
}
