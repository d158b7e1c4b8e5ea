// f16 scale d and minimum m a block. Weight = d · code + m.
const HAS_MINIMUM = true;

fn scales(row: u32, block: u32) -> vec3f {
  let dm = unpack2x16float(weight_scales[row * BLOCKS + block]);
  return dm.xxy;
}
