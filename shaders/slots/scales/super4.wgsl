// IQ4_XS: eight blocks share an f16 d, the lower half of word 0. Each has a 6-bit scale, from which 32 is subtracted: its low
// nibble is in word 1, its upper bits in the other half of word 0.
const MINIMA = 0u;

alias RunScales = vec2u;

fn run_scales(row: u32, block: u32) -> RunScales { return weight_scales[(row * BLOCKS + block) / 8u]; }

fn scales_of(words: RunScales, i: u32) -> vec4f {
  let j = i & 7u;
  let scale = ((words.y >> (4u * j)) & 15u) | (((words.x >> (16u + 2u * j)) & 3u) << 4u);
  let d = unpack2x16float(words.x).x * f32(i32(scale) - 32);
  return vec4f(d, d, 0.0, 0.0);
}

fn scales(row: u32, block: u32) -> vec4f { return scales_of(run_scales(row, block), row * BLOCKS + block); }
