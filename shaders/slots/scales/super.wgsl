// Q4_K and Q5_K: eight blocks share f16 d and dmin (word 0); each has a 6-bit scale and a 6-bit minimum, whose low
// nibbles stand in words 1 and 2 and whose upper bits share word 3. Weight = d · scale · code − dmin · minimum.
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
