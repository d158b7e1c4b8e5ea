#variant run-words/two
// Two words of scales are read at once.
alias RunScales = vec2u;
const RUN_WORDS = 2u;

#variant run-words/four
// Four words of scales are read at once.
alias RunScales = vec4u;
const RUN_WORDS = 4u;

#part five-word-runs
// Runs of eight blocks with five words of scales (`scales/super2`, `scales/super6`), which four invocations share: each keeps
// the scales of its two blocks, the `j`th and the one four after it, two bytes a block.
struct RunScales { first: u32, bytes: u32 }

fn run_scales(row: u32, block: u32) -> RunScales {
  let i = (row * BLOCKS + block) / 8u;
  let four = i / 4u * 5u;
  let words = weight_scales[four + 1u + i % 4u];
  let j = block % 4u;
  let own = select(words.xz, words.yw, j >= 2u) >> vec2u(16u * (j & 1u));
  return RunScales(weight_scales[four][i % 4u], (own.x & 0xffffu) | (own.y << 16u));
}

#variant scales/symmetric-runs
// Like symmetric, with 2 · RUN_WORDS scales at a time.
// needs: run-words
const MINIMA = select(0u, 1u, CODE_OFFSET != 0.0);

fn run_scales(row: u32, block: u32) -> RunScales { return weight_scales[(row * BLOCKS + block) / (2u * RUN_WORDS * SCALE_SPAN)]; }

fn scales_of(words: RunScales, i: u32) -> vec4f {
  let pair = unpack2x16float(words[(i / (2u * SCALE_SPAN)) % RUN_WORDS]);
  let d = select(pair.x, pair.y, ((i / SCALE_SPAN) & 1u) == 1u);
  return vec2f(d, d * CODE_OFFSET).xxyy;
}

#variant scales/affine-runs
// Like affine, with four blocks at a time. Two invocations have two each: the `j`th and the one two after it.
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

#variant scales/super-runs
// Like super, with four blocks of a run. Two invocations have two each: the `j`th and the one two after it. An invocation keeps
// fewer words than it reads.
const MINIMA = 1u;

struct RunScales { d: u32, numbers: u32 }

// A scale in the lowest byte, a minimum in the next.
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

#variant scales/super2-runs
// Like super2, with the blocks of a run.
// needs: five-word-runs
const MINIMA = 2u;

fn scales_of(run: RunScales, i: u32) -> vec4f {
  let numbers = vec4f(vec4i((vec4u(run.bytes >> (4u * (i & 4u))) >> vec4u(0u, 8u, 4u, 12u)) & vec4u(15u)));
  let d = unpack2x16float(run.first);
  return numbers * vec4f(d.xx, -d.yy);
}

#variant scales/super3-runs
// Like super3, with two consecutive blocks of a run. An invocation keeps fewer words than it reads.
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

#variant scales/super6-runs
// Like super6, with the blocks of a run.
// needs: five-word-runs, unpack-bytes
const MINIMA = 0u;

fn scales_of(run: RunScales, i: u32) -> vec4f {
  let quad = vec4f(unpack_bytes(run.bytes));
  return vec4f(select(quad.xy, quad.zw, (i & 4u) != 0u) * bitcast<f32>(run.first), 0.0, 0.0);
}
