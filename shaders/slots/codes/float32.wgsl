// needs: block
const CODE_STEP = vec4f(1.0);

fn codes(row: u32, block: u32) -> Block {
  let i = (row * BLOCKS + block) * 8u;
  return Block(
    bitcast<vec4f>(weight[i]), bitcast<vec4f>(weight[i + 1u]), bitcast<vec4f>(weight[i + 2u]),
    bitcast<vec4f>(weight[i + 3u]), bitcast<vec4f>(weight[i + 4u]), bitcast<vec4f>(weight[i + 5u]),
    bitcast<vec4f>(weight[i + 6u]), bitcast<vec4f>(weight[i + 7u]));
}

fn code_part(row: u32, part: u32) -> Block {
  let p = bitcast<vec4f>(weight[row * BLOCKS * 8u + part]);
  return Block(p, vec4f(), vec4f(), vec4f(), vec4f(), vec4f(), vec4f(), vec4f());
}

struct RawCodes { a: vec4u, b: vec4u }

// Of a block: the `part`th vector of either half, as neighbours then ask for neighbours.
fn raw_codes(row: u32, part: u32) -> RawCodes {
  let i = row * BLOCKS * 8u + part / 4u * 8u + part % 4u;
  return RawCodes(weight[i], weight[i + 4u]);
}

fn first_codes(raw: RawCodes) -> Codes8 { return Codes8(bitcast<vec4f>(raw.a), bitcast<vec4f>(raw.b)); }

fn codes_behind(raw: RawCodes) -> RawCodes { return raw; }
