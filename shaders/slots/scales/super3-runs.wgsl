// As super3, of two blocks of a run that follow each other. Fewer words are kept than were read.
const MINIMA = 0u;

struct RunScales { d: f32, numbers: u32 }

fn run_scales(row: u32, block: u32) -> RunScales {
  let words = weight_scales[(row * BLOCKS + block) / 8u];
  let j = block & 6u;
  let low = select(words.y, words.z, j >= 4u) >> (8u * (j & 2u));
  return RunScales(bitcast<f32>(words.x), (low & 0xffffu) | (((words.w >> (4u * j)) & 0xffu) << 16u));
}

fn scales_of(run: RunScales, i: u32) -> vec4f {
  let own = vec2u(run.numbers >> (8u * (i & 1u)), run.numbers >> (16u + 4u * (i & 1u)));
  let pair = vec2i((own.xx >> vec2u(0u, 4u)) & vec2u(15u)) + 16 * vec2i((own.yy >> vec2u(0u, 2u)) & vec2u(3u));
  return vec4f(vec2f(pair - 32) * run.d, 0.0, 0.0);
}
