// As affine, of four blocks at a time, of which two invocations have two each: the `j`th and the one two behind it.
const MINIMA = 1u;

alias RunScales = vec2u;

fn run_scales(row: u32, block: u32) -> RunScales {
  let i = row * BLOCKS + block;
  let words = weight_scales[i / 4u];
  return select(words.xz, words.yw, (i & 1u) == 1u);
}

fn scales_of(words: RunScales, i: u32) -> vec4f {
  let dm = unpack2x16float(select(words.x, words.y, (i & 2u) != 0u));
  return dm.xxyy;
}
