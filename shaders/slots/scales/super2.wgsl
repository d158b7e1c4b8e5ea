// Q2_K: eight blocks share f16 d and dmin (word 0) and sixteen bytes (words 1 to 4), one for each half block: a scale in the
// low nibble, a minimum in the high one. Weight = d · scale · code − dmin · minimum.
const MINIMA = 2u;

fn scales(row: u32, block: u32) -> vec4f {
  let i = row * BLOCKS + block;
  let base = (i / 8u) * 5u;
  let j = i & 7u;
  let bytes = weight_scales[base + 1u + j / 2u] >> (16u * (j & 1u));
  let d = unpack2x16float(weight_scales[base]);
  let numbers = vec4f(vec4i((vec4u(bytes) >> vec4u(0u, 8u, 4u, 12u)) & vec4u(15u)));
  return numbers * vec4f(d.xx, -d.yy);
}
