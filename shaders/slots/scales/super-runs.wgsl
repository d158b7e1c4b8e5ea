// As super, of four blocks of a run, of which two invocations have two each: the `j`th and the one two behind it. Fewer words
// are kept than were read.
const MINIMA = 1u;

struct RunScales { d: u32, numbers: u32 }

// A scale, and 8 bits further on a minimum.
fn numbers_of(words: vec4u, j: u32) -> u32 {
  let low = (vec2u(words.y, words.z) >> vec2u(4u * j)) & vec2u(15u);
  let upper = (vec2u(words.w, words.w >> 16u) >> vec2u(2u * j)) & vec2u(3u);
  return dot(low | (upper << vec2u(4u)), vec2u(1u, 256u));
}

fn run_scales(row: u32, block: u32) -> RunScales {
  let words = weight_scales[(row * BLOCKS + block) / 8u];
  let j = block & 5u;
  return RunScales(words.x, numbers_of(words, j) | (numbers_of(words, j + 2u) << 16u));
}

fn scales_of(run: RunScales, i: u32) -> vec4f {
  let numbers = run.numbers >> (8u * (i & 2u));
  let d = unpack2x16float(run.d) * vec2f(f32(i32(numbers & 63u)), -f32(i32((numbers >> 8u) & 63u)));
  return d.xxyy;
}
