// As symmetric, of 2 · RUN_WORDS scales at a time.
// needs: run-words
const MINIMA = select(0u, 1u, CODE_OFFSET != 0.0);

fn run_scales(row: u32, block: u32) -> RunScales { return weight_scales[(row * BLOCKS + block) / (2u * RUN_WORDS * SCALE_SPAN)]; }

fn scales_of(words: RunScales, i: u32) -> vec4f {
  let pair = unpack2x16float(words[(i / (2u * SCALE_SPAN)) % RUN_WORDS]);
  let d = select(pair.x, pair.y, ((i / SCALE_SPAN) & 1u) == 1u);
  return vec2f(d, d * CODE_OFFSET).xxyy;
}
