// MXFP4: a block's scale is 2 to the power of its byte less 128, as codes are doubled. The least two, of which one has no
// normal f32, count as 0.
const MINIMA = 0u;

alias RunScales = u32;

fn run_scales(row: u32, block: u32) -> RunScales { return weight_scales[(row * BLOCKS + block) / 4u]; }

fn scales_of(word: RunScales, i: u32) -> vec4f {
  let exponent = (word >> (8u * (i & 3u))) & 0xffu;
  let d = bitcast<f32>((max(exponent, 1u) - 1u) << 23u);
  return vec4f(d, d, 0.0, 0.0);
}

fn scales(row: u32, block: u32) -> vec4f { return scales_of(run_scales(row, block), row * BLOCKS + block); }
