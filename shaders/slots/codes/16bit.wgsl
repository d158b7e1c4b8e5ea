// needs: block, half4
const CODE_STEP = vec4f(1.0);

fn codes(row: u32, block: u32) -> Block {
  let i = (row * BLOCKS + block) * 4u;
  let p = weight[i];
  let q = weight[i + 1u];
  let r = weight[i + 2u];
  let s = weight[i + 3u];
  return Block(
    half4(p.xy), half4(p.zw), half4(q.xy), half4(q.zw), half4(r.xy), half4(r.zw), half4(s.xy), half4(s.zw));
}

fn code_part(row: u32, part: u32) -> Block {
  let p = weight[row * BLOCKS * 4u + part];
  return Block(half4(p.xy), half4(p.zw), vec4f(), vec4f(), vec4f(), vec4f(), vec4f(), vec4f());
}

struct RawCodes { words: vec4u }

fn raw_codes(row: u32, part: u32) -> RawCodes { return RawCodes(weight[row * BLOCKS * 4u + part]); }

fn first_codes(raw: RawCodes) -> Codes8 { return Codes8(half4(raw.words.xy), half4(raw.words.zw)); }

fn codes_behind(raw: RawCodes) -> RawCodes { return raw; }
