// Q2_K: eight blocks share f16 d and dmin (a word) and sixteen bytes, one for each half block: a scale in the low nibble, a
// minimum in the high one. Of four such runs the first words are before the four words of each. Weight = d · scale · code −
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
