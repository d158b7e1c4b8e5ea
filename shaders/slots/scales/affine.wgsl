// f16 scale d and minimum m a block. Weight = d · code + m.
const MINIMA = 1u;

fn scales(row: u32, block: u32) -> vec4f {
  let dm = unpack2x16float(weight_scales[row * BLOCKS + block]);
  return dm.xxyy;
}
