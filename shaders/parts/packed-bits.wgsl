// Bits of each byte of a word, side by side.

// The low nibbles of 16 bytes, in two words.
fn low_nibbles(words: vec4u) -> vec2u {
  var x = words & vec4u(0x0f0f0f0fu);
  x = (x | (x >> vec4u(4u))) & vec4u(0x00ff00ffu);
  x = (x | (x >> vec4u(8u))) & vec4u(0xffffu);
  return x.xz | (x.yw << vec2u(16u));
}

// The lowest two bits of four bytes.
fn low_pairs(word: u32) -> u32 {
  var x = word & 0x03030303u;
  x = (x | (x >> 6u)) & 0x000f000fu;
  return (x | (x >> 12u)) & 0xffu;
}

// Pairs `r` of 16 bytes, of four each.
fn sixteen_pairs(words: vec4u, r: u32) -> u32 {
  let x = words >> vec4u(2u * r);
  return low_pairs(x.x) | (low_pairs(x.y) << 8u) | (low_pairs(x.z) << 16u) | (low_pairs(x.w) << 24u);
}
