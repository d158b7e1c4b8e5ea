// f16 scale d and minimum m a block. Weight = d · code + m.
const MINIMA = 1u;

alias RunScales = u32;

fn run_scales(row: u32, block: u32) -> RunScales { return weight_scales[row * BLOCKS + block]; }

fn scales_of(word: RunScales, i: u32) -> vec4f {
  let dm = unpack2x16float(word);
  return dm.xxyy;
}

fn scales(row: u32, block: u32) -> vec4f { return scales_of(run_scales(row, block), row * BLOCKS + block); }
