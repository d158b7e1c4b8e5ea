#variant scales/none
// `scales`: the scale of the first half of a block and of the second, then the minimum that is added to each half. MINIMA:
// 0 without minima, 1 with the same minimum for both halves, 2 with one for each.
const MINIMA = 0u;

// Words of scales of the run of blocks that a block is in, which are read at once. Tiles keep them during the run.
alias RunScales = u32;

fn run_scales(row: u32, block: u32) -> RunScales { return 0u; }

// Scales of the matrix's `i`th block, which is in the run.
fn scales_of(run: RunScales, i: u32) -> vec4f { return vec4f(1.0, 1.0, 0.0, 0.0); }

fn scales(row: u32, block: u32) -> vec4f { return scales_of(run_scales(row, block), row * BLOCKS + block); }

#variant scales/symmetric
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

#variant scales/affine
// f16 scale d and minimum m a block. Weight = d · code + m.
const MINIMA = 1u;

fn scales(row: u32, block: u32) -> vec4f {
  let dm = unpack2x16float(weight_scales[row * BLOCKS + block]);
  return dm.xxyy;
}

#variant scales/exponents
// MXFP4: a block's scale is 2 to the power of its byte minus 128, since quants are doubled. The two smallest, one of which is
// not a normal f32, become 0.
const MINIMA = 0u;

alias RunScales = u32;

fn run_scales(row: u32, block: u32) -> RunScales { return weight_scales[(row * BLOCKS + block) / 4u]; }

fn scales_of(word: RunScales, i: u32) -> vec4f {
  let exponent = (word >> (8u * (i & 3u))) & 0xffu;
  let d = bitcast<f32>((max(exponent, 1u) - 1u) << 23u);
  return vec4f(d, d, 0.0, 0.0);
}

fn scales(row: u32, block: u32) -> vec4f { return scales_of(run_scales(row, block), row * BLOCKS + block); }

#variant scales/grid
// IQ3_XXS: eight blocks share an f16 d, two to a word; the upper four bits of a block's word in `weight_high` are its own
// scale. Weight = d · (scale + 1/2) / 2 · code.
const MINIMA = 0u;

fn scales(row: u32, block: u32) -> vec4f {
  let i = row * BLOCKS + block;
  let pair = unpack2x16float(weight_scales[i / 16u]);
  let d = select(pair.x, pair.y, (i & 8u) != 0u) * (f32(i32(weight_high[i] >> 28u)) * 0.5 + 0.25);
  return vec4f(d, d, 0.0, 0.0);
}

#variant scales/super
// Q4_K and Q5_K: eight blocks share f16 d and dmin (word 0); each has a 6-bit scale and a 6-bit minimum, whose low
// nibbles are words 1 and 2 and whose upper bits share word 3. Weight = d · scale · code − dmin · minimum.
const MINIMA = 1u;

alias RunScales = vec4u;

fn run_scales(row: u32, block: u32) -> RunScales { return weight_scales[(row * BLOCKS + block) / 8u]; }

fn scales_of(words: RunScales, i: u32) -> vec4f {
  let j = i & 7u;
  let scale = ((words.y >> (4u * j)) & 15u) | (((words.w >> (2u * j)) & 3u) << 4u);
  let minimum = ((words.z >> (4u * j)) & 15u) | (((words.w >> (16u + 2u * j)) & 3u) << 4u);
  let d = unpack2x16float(words.x) * vec2f(f32(i32(scale)), -f32(i32(minimum)));
  return d.xxyy;
}

fn scales(row: u32, block: u32) -> vec4f { return scales_of(run_scales(row, block), row * BLOCKS + block); }

#variant scales/super2
// Q2_K: eight blocks share f16 d and dmin (a word) and sixteen bytes, one for each half block: a scale in the low nibble, a
// minimum in the high one. Four such runs have their first words, then the four words of each. Weight = d · scale · code −
// dmin · minimum.
const MINIMA = 2u;

fn scales(row: u32, block: u32) -> vec4f {
  let i = row * BLOCKS + block;
  let four = i / 32u * 20u;
  let bytes = weight_scales[four + 4u + i % 32u / 2u] >> (16u * (i & 1u));
  let d = unpack2x16float(weight_scales[four + i % 32u / 8u]);
  let numbers = vec4f(vec4i((vec4u(bytes) >> vec4u(0u, 8u, 4u, 12u)) & vec4u(15u)));
  return numbers * vec4f(d.xx, -d.yy);
}

#variant scales/super3
// Q3_K: eight blocks share an f32 d (word 0) and sixteen 6-bit scales, one for each half block, minus 32: their low nibbles
// are words 1 and 2, their upper bits word 3.
const MINIMA = 0u;

fn scales(row: u32, block: u32) -> vec4f {
  let i = row * BLOCKS + block;
  let words = weight_scales[i / 8u];
  let j = i & 7u;
  let low = select(words.y, words.z, j >= 4u) >> (8u * (j & 3u));
  let pair = vec2i(vec2u(low, low >> 4u) & vec2u(15u)) + 16 * vec2i((vec2u(words.w) >> vec2u(4u * j, 4u * j + 2u)) & vec2u(3u));
  return vec4f(vec2f(pair - 32) * bitcast<f32>(words.x), 0.0, 0.0);
}

#variant scales/super4
// IQ4_XS: eight blocks share an f16 d, the lower half of word 0. Each has a 6-bit scale, minus 32: its low nibble is in word 1,
// its upper bits in the upper half of word 0.
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

#variant scales/super6
// Q6_K: eight blocks share an f32 d and sixteen 8-bit scales, one for each half block. Four such runs have their ds, then the
// four words of scales of each.
// needs: unpack-bytes
const MINIMA = 0u;

fn scales(row: u32, block: u32) -> vec4f {
  let i = row * BLOCKS + block;
  let four = i / 32u * 20u;
  let quad = vec4f(unpack_bytes(weight_scales[four + 4u + i % 32u / 2u]));
  let pair = select(quad.xy, quad.zw, (i & 1u) == 1u) * bitcast<f32>(weight_scales[four + i % 32u / 8u]);
  return vec4f(pair, 0.0, 0.0);
}
