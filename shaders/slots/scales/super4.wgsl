// IQ4_XS: eight blocks share an f16 d, the lower half of word 0. Each has a 6-bit scale, from which 32 is subtracted: its low
// nibble is in word 1, its upper bits in the other half of word 0.
const MINIMA = 0u;

fn scales(row: u32, block: u32) -> vec4f {
  let i = row * BLOCKS + block;
  let words = weight_scales[i / 8u];
  let j = i & 7u;
  let scale = ((words.y >> (4u * j)) & 15u) | (((words.x >> (16u + 2u * j)) & 3u) << 4u);
  let d = unpack2x16float(words.x).x * f32(i32(scale) - 32);
  return vec4f(d, d, 0.0, 0.0);
}
