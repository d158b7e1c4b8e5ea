// Runs of eight blocks whose scales are five words (slots/scales/super2, super6), where four invocations have one between them:
// each keeps what its own two blocks need, the `j`th and the one four behind it, two bytes a block.
struct RunScales { first: u32, bytes: u32 }

fn run_scales(row: u32, block: u32) -> RunScales {
  let i = (row * BLOCKS + block) / 8u;
  let four = i / 4u * 5u;
  let words = weight_scales[four + 1u + i % 4u];
  let j = block % 4u;
  let own = select(words.xz, words.yw, j >= 2u) >> vec2u(16u * (j & 1u));
  return RunScales(weight_scales[four][i % 4u], (own.x & 0xffffu) | (own.y << 16u));
}
