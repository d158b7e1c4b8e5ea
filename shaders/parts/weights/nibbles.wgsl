// Element 8i + j of a block is nibble j of word i. Nibbles are masked but not shifted down, which is cheaper on software
// adapters: as floats the four of a half word stand 1, 16, 256 and 4096 too large, and CODE_STEP undoes that.
// needs: block
const CODE_STEP = vec4f(1.0, 0.0625, 0.00390625, 0.000244140625);

fn nibbles4(word: u32) -> vec4f { return vec4f(vec4i(vec4u(word) & vec4u(0xfu, 0xf0u, 0xf00u, 0xf000u))); }

fn nibbles(w: vec4u) -> Block {
  return Block(
    nibbles4(w.x), nibbles4(w.x >> 16u), nibbles4(w.y), nibbles4(w.y >> 16u),
    nibbles4(w.z), nibbles4(w.z >> 16u), nibbles4(w.w), nibbles4(w.w >> 16u));
}
