// One f16 scale d for SCALE_SPAN blocks, two to a word. Weight = d · (code + CODE_OFFSET).
const MINIMA = select(0u, 1u, CODE_OFFSET != 0.0);

alias RunScales = u32;

fn run_scales(row: u32, block: u32) -> RunScales { return weight_scales[(row * BLOCKS + block) / SCALE_SPAN / 2u]; }

fn scales_of(word: RunScales, i: u32) -> vec4f {
  let pair = unpack2x16float(word);
  let d = select(pair.x, pair.y, ((i / SCALE_SPAN) & 1u) == 1u);
  return vec2f(d, d * CODE_OFFSET).xxyy;
}

fn scales(row: u32, block: u32) -> vec4f { return scales_of(run_scales(row, block), row * BLOCKS + block); }
