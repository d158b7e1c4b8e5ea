// Byte j of word i is element 4i + j. The lower three bytes are stored with 128 added, so that masking alone gives them
// as positive integers, 1, 256 and 65536 too large; the sign of the top byte comes with the conversion.
// needs: block
const CODE_STEP = vec4f(1.0, 0.00390625, 0.0000152587890625, 5.9604644775390625e-8);

fn bytes4(word: u32) -> vec4f {
  let bytes = vec4i(vec4u(word) & vec4u(0xffu, 0xff00u, 0xff0000u, 0xff000000u));
  return vec4f(bytes) - vec4f(128.0, 32768.0, 8388608.0, 0.0);
}

fn codes(row: u32, block: u32) -> Block {
  let i = (row * BLOCKS + block) * 2u;
  let p = weight[i];
  let q = weight[i + 1u];
  return Block(
    bytes4(p.x), bytes4(p.y), bytes4(p.z), bytes4(p.w), bytes4(q.x), bytes4(q.y), bytes4(q.z), bytes4(q.w));
}

fn code_part(row: u32, part: u32) -> Block {
  let p = weight[row * BLOCKS * 2u + part];
  return Block(bytes4(p.x), bytes4(p.y), bytes4(p.z), bytes4(p.w), vec4f(), vec4f(), vec4f(), vec4f());
}

struct RawCodes { words: vec4u }

fn raw_codes(row: u32, part: u32) -> RawCodes { return RawCodes(weight[row * BLOCKS * 2u + part]); }

fn first_codes(raw: RawCodes) -> Codes8 { return Codes8(bytes4(raw.words.x), bytes4(raw.words.y)); }

fn codes_behind(raw: RawCodes) -> RawCodes { return RawCodes(raw.words.zwxy); }
