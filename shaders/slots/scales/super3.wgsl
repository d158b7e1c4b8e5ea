// Q3_K: eight blocks share an f32 d (word 0) and sixteen 6-bit scales, one for each half block, from which 32 is subtracted:
// their low nibbles are words 1 and 2, their upper bits word 3.
const MINIMA = 0u;

fn scales(row: u32, block: u32) -> vec4f {
  let i = row * BLOCKS + block;
  let words = weight_scales[i / 8u];
  let j = i & 7u;
  let low = select(words.y, words.z, j >= 4u) >> (8u * (j & 3u));
  let pair = vec2i(vec2u(low, low >> 4u) & vec2u(15u)) + 16 * vec2i((vec2u(words.w) >> vec2u(4u * j, 4u * j + 2u)) & vec2u(3u));
  return vec4f(vec2f(pair - 32) * bitcast<f32>(words.x), 0.0, 0.0);
}
