#part block
// 32 consecutive elements of a row.
struct Block { a: vec4f, b: vec4f, c: vec4f, d: vec4f, e: vec4f, f: vec4f, g: vec4f, h: vec4f }

// Eight consecutive elements.
struct Codes8 { a: vec4f, b: vec4f }

// Dot products of the first and of the second half: some formats scale them differently.
fn block_dots(x: Block, y: Block) -> vec2f {
  return vec2f(
    dot(x.a, y.a) + dot(x.b, y.b) + dot(x.c, y.c) + dot(x.d, y.d),
    dot(x.e, y.e) + dot(x.f, y.f) + dot(x.g, y.g) + dot(x.h, y.h));
}

fn block_dot(x: Block, y: Block) -> f32 {
  let halves = block_dots(x, y);
  return halves.x + halves.y;
}

fn block_times(x: Block, y: vec4f) -> Block {
  return Block(x.a * y, x.b * y, x.c * y, x.d * y, x.e * y, x.f * y, x.g * y, x.h * y);
}

fn half_sums(x: Block) -> vec2f {
  return vec2f(dot(x.a + x.b + x.c + x.d, vec4f(1.0)), dot(x.e + x.f + x.g + x.h, vec4f(1.0)));
}

#part weight-block
// The dequantized weights of 32 columns of one row.
// needs: block, codes, scales
fn weight_block(row: u32, block: u32) -> Block {
  let w = codes(row, block);
  let scale = scales(row, block);
  let low = scale.x * CODE_STEP;
  let high = scale.y * CODE_STEP;
  return Block(
    w.a * low + scale.z, w.b * low + scale.z, w.c * low + scale.z, w.d * low + scale.z,
    w.e * high + scale.w, w.f * high + scale.w, w.g * high + scale.w, w.h * high + scale.w);
}

#part bits
// Bit e of a block's word is element e: 0 or 2, minus 1. Bits are masked but not shifted down; see `nibbles`.
const CODE_STEP = vec4f(2.0, 1.0, 0.5, 0.25);

fn bits4(word: u32) -> vec4f { return vec4f(vec4i(vec4u(word) & vec4u(1u, 2u, 4u, 8u))); }

#part pairs
// Element 16i + j of a block is bit pair j of word i. Pairs are masked but not shifted down; see `nibbles`.
const CODE_STEP = vec4f(1.0, 0.25, 0.0625, 0.015625);

fn pairs4(word: u32) -> vec4f { return vec4f(vec4i(vec4u(word) & vec4u(3u, 12u, 48u, 192u))); }

// The quants after the first eight.
fn pairs_behind(words: vec2u) -> vec2u { return vec2u((words.x >> 16u) | (words.y << 16u), words.y >> 16u); }

#part nibbles
// Element 8i + j of a block is nibble j of word i. Nibbles are masked but not shifted down, which is cheaper on software
// adapters: as floats the four of a half word are 1, 16, 256 and 4096 times too large, which CODE_STEP corrects.
// needs: block
const CODE_STEP = vec4f(1.0, 0.0625, 0.00390625, 0.000244140625);

fn nibbles4(word: u32) -> vec4f { return vec4f(vec4i(vec4u(word) & vec4u(0xfu, 0xf0u, 0xf00u, 0xf000u))); }

fn nibbles(w: vec4u) -> Block {
  return Block(
    nibbles4(w.x), nibbles4(w.x >> 16u), nibbles4(w.y), nibbles4(w.y >> 16u),
    nibbles4(w.z), nibbles4(w.z >> 16u), nibbles4(w.w), nibbles4(w.w >> 16u));
}

#part third-bits
// Bit e of a block's word in `weight_high` is the third bit of element e, minus 4. Returns four elements, scaled like `pairs`.
fn third_bits(word: u32) -> vec4f {
  let bits = (vec4u(word) >> vec4u(0u, 1u, 2u, 3u)) & vec4u(1u);
  return (vec4f(vec4i(bits)) - 1.0) * vec4f(4.0, 16.0, 64.0, 256.0);
}

#part fifth-bits
// Bit e of a block's word in `weight_high` is the fifth bit of element e. Returns four elements, scaled like `nibbles`.
fn fifth_bits(word: u32) -> vec4f {
  return vec4f(vec4i((vec4u(word) >> vec4u(0u, 1u, 2u, 3u)) & vec4u(1u))) * vec4f(16.0, 256.0, 4096.0, 65536.0);
}

#part grid4
// Elements of IQ3_XXS: sizes from GRID, and signs. Like the bytes of `codes/8bit` they are 1, 256, 65536 and 16777216 times
// too large.
// needs: grid
const CODE_STEP = vec4f(1.0, 0.00390625, 0.0000152587890625, 5.9604644775390625e-8);

// Four elements; their signs begin at the lowest bit.
fn grid4(index: u32, signs: u32) -> vec4f {
  let sizes = vec4f(vec4i(vec4u(GRID[index & 255u]) & vec4u(0xffu, 0xff00u, 0xff0000u, 0xff000000u)));
  let bits = (vec4u(signs) << vec4u(31u, 30u, 29u, 28u)) & vec4u(0x80000000u);
  return bitcast<vec4f>(bitcast<vec4u>(sizes) | bits);
}

// Eight signs from seven bits: the number of negative elements is even.
fn signs8(bits: u32) -> u32 { return (bits & 127u) | ((countOneBits(bits & 127u) & 1u) << 7u); }

#variant codes/float32
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

// The `part`th vector of each half of a block, so that neighbouring invocations read neighbouring vectors.
fn raw_codes(row: u32, part: u32) -> RawCodes {
  let i = row * BLOCKS * 8u + part / 4u * 8u + part % 4u;
  return RawCodes(weight[i], weight[i + 4u]);
}

fn first_codes(raw: RawCodes) -> Codes8 { return Codes8(bitcast<vec4f>(raw.a), bitcast<vec4f>(raw.b)); }

fn codes_behind(raw: RawCodes) -> RawCodes { return raw; }

#variant codes/16bit
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

#variant codes/8bit
// Byte j of word i is element 4i + j. The lower three bytes are stored with 128 added, so that a mask gives positive
// integers, 1, 256 and 65536 times too large; the conversion handles the sign of the top byte.
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

#variant codes/6bit
// Bits 2e and 2e + 1 of the block's two words in `weight_high` are the upper bits of element e, minus 32.
// needs: block, nibbles
fn upper_bits(word: u32) -> vec4f {
  let bits = (vec4u(word) >> vec4u(0u, 2u, 4u, 6u)) & vec4u(3u);
  return (vec4f(vec4i(bits)) * 16.0 - 32.0) * vec4f(1.0, 16.0, 256.0, 4096.0);
}

fn codes(row: u32, block: u32) -> Block {
  let low = nibbles(weight[row * BLOCKS + block]);
  let high = weight_high[row * BLOCKS + block];
  return Block(
    low.a + upper_bits(high.x), low.b + upper_bits(high.x >> 8u),
    low.c + upper_bits(high.x >> 16u), low.d + upper_bits(high.x >> 24u),
    low.e + upper_bits(high.y), low.f + upper_bits(high.y >> 8u),
    low.g + upper_bits(high.y >> 16u), low.h + upper_bits(high.y >> 24u));
}

fn code_part(row: u32, part: u32) -> Block { return codes(row, part); }

struct RawCodes { low: vec4u, high: vec2u }

fn raw_codes(row: u32, part: u32) -> RawCodes { return RawCodes(weight[row * BLOCKS + part], weight_high[row * BLOCKS + part]); }

fn first_codes(raw: RawCodes) -> Codes8 {
  return Codes8(nibbles4(raw.low.x) + upper_bits(raw.high.x), nibbles4(raw.low.x >> 16u) + upper_bits(raw.high.x >> 8u));
}

fn codes_behind(raw: RawCodes) -> RawCodes {
  return RawCodes(raw.low.yzwx, vec2u((raw.high.x >> 16u) | (raw.high.y << 16u), raw.high.y >> 16u));
}

#variant codes/5bit
// needs: block, fifth-bits, nibbles
fn codes(row: u32, block: u32) -> Block {
  let low = nibbles(weight[row * BLOCKS + block]);
  let high = weight_high[row * BLOCKS + block];
  return Block(
    low.a + fifth_bits(high), low.b + fifth_bits(high >> 4u),
    low.c + fifth_bits(high >> 8u), low.d + fifth_bits(high >> 12u),
    low.e + fifth_bits(high >> 16u), low.f + fifth_bits(high >> 20u),
    low.g + fifth_bits(high >> 24u), low.h + fifth_bits(high >> 28u));
}

fn code_part(row: u32, part: u32) -> Block { return codes(row, part); }

#variant codes/4bit
// needs: block, nibbles
fn codes(row: u32, block: u32) -> Block { return nibbles(weight[row * BLOCKS + block]); }

fn code_part(row: u32, part: u32) -> Block { return codes(row, part); }

struct RawCodes { low: vec4u }

fn raw_codes(row: u32, part: u32) -> RawCodes { return RawCodes(weight[row * BLOCKS + part]); }

fn first_codes(raw: RawCodes) -> Codes8 { return Codes8(nibbles4(raw.low.x), nibbles4(raw.low.x >> 16u)); }

fn codes_behind(raw: RawCodes) -> RawCodes { return RawCodes(raw.low.yzwx); }

#variant codes/3bit
// needs: block, pairs, third-bits
fn codes(row: u32, block: u32) -> Block {
  let w = weight[row * BLOCKS + block];
  let high = weight_high[row * BLOCKS + block];
  return Block(
    pairs4(w.x) + third_bits(high), pairs4(w.x >> 8u) + third_bits(high >> 4u),
    pairs4(w.x >> 16u) + third_bits(high >> 8u), pairs4(w.x >> 24u) + third_bits(high >> 12u),
    pairs4(w.y) + third_bits(high >> 16u), pairs4(w.y >> 8u) + third_bits(high >> 20u),
    pairs4(w.y >> 16u) + third_bits(high >> 24u), pairs4(w.y >> 24u) + third_bits(high >> 28u));
}

fn code_part(row: u32, part: u32) -> Block { return codes(row, part); }

#variant codes/2bit
// needs: block, pairs
fn codes(row: u32, block: u32) -> Block {
  let w = weight[row * BLOCKS + block];
  return Block(
    pairs4(w.x), pairs4(w.x >> 8u), pairs4(w.x >> 16u), pairs4(w.x >> 24u),
    pairs4(w.y), pairs4(w.y >> 8u), pairs4(w.y >> 16u), pairs4(w.y >> 24u));
}

fn code_part(row: u32, part: u32) -> Block { return codes(row, part); }

struct RawCodes { low: vec2u }

fn raw_codes(row: u32, part: u32) -> RawCodes { return RawCodes(weight[row * BLOCKS + part]); }

fn first_codes(raw: RawCodes) -> Codes8 { return Codes8(pairs4(raw.low.x), pairs4(raw.low.x >> 8u)); }

fn codes_behind(raw: RawCodes) -> RawCodes { return RawCodes(pairs_behind(raw.low)); }

#variant codes/1bit
// needs: bits, block
fn codes(row: u32, block: u32) -> Block {
  let w = weight[row * BLOCKS + block];
  return Block(
    bits4(w), bits4(w >> 4u), bits4(w >> 8u), bits4(w >> 12u),
    bits4(w >> 16u), bits4(w >> 20u), bits4(w >> 24u), bits4(w >> 28u));
}

fn code_part(row: u32, part: u32) -> Block { return codes(row, part); }

#variant codes/ternary
// TQ1_0: elements are base-3 digits, minus 1, of bytes that count 256ths. The first digit of a byte b is the integer part of
// 3b / 256; the fraction is again such a byte. Eight blocks share 48 bytes of five digits in `weight` and 4 bytes of four
// digits in `weight_high`: each of blocks 0 to 4 is one digit of 32 bytes; each later half block is one digit of 16 bytes,
// except the last, which is all digits of the 4 bytes.
// needs: block
const CODE_STEP = vec4f(0.00390625, 0.00390625, 5.9604644775390625e-8, 5.9604644775390625e-8);

// Bytes times m, modulo 256.
fn times_bytes(words: vec4u, m: vec4u) -> vec4u {
  let low = vec4u(0x00ff00ffu);
  return (((words & low) * m) & low) | (((((words >> vec4u(8u)) & low) * m) & low) << vec4u(8u));
}

// The 16 bytes of a half block, shifted to its digit.
fn half_digits(i: u32, half: u32) -> vec4u {
  let run = i / 8u;
  let j = i & 7u;
  let is_last = j == 7u && half == 1u;
  let n = select(2u * (j - 5u) + half, j, j < 5u);
  let power = select(1u, 3u, (n & 1u) != 0u) * select(1u, 9u, (n & 2u) != 0u) * select(1u, 81u, (n & 4u) != 0u);
  let words = select(weight[3u * run + select(2u, half, j < 5u)], vec4u(weight_high[run]), is_last);
  return times_bytes(words, select(vec4u(power), vec4u(1u, 3u, 9u, 27u), is_last));
}

fn digits4(word: u32) -> vec4f {
  let even = (word & 0x00ff00ffu) * 3u;
  let odd = ((word >> 8u) & 0x00ff00ffu) * 3u;
  let digits = vec4u(even, odd, even, odd) & vec4u(0x300u, 0x300u, 0x3000000u, 0x3000000u);
  return vec4f(vec4i(digits)) - vec4f(256.0, 256.0, 16777216.0, 16777216.0);
}

fn codes(row: u32, block: u32) -> Block {
  let a = half_digits(row * BLOCKS + block, 0u);
  let b = half_digits(row * BLOCKS + block, 1u);
  return Block(
    digits4(a.x), digits4(a.y), digits4(a.z), digits4(a.w), digits4(b.x), digits4(b.y), digits4(b.z), digits4(b.w));
}

fn code_part(row: u32, part: u32) -> Block {
  let a = half_digits(row * BLOCKS + part / 2u, part & 1u);
  return Block(digits4(a.x), digits4(a.y), digits4(a.z), digits4(a.w), vec4f(), vec4f(), vec4f(), vec4f());
}

struct RawCodes { digits: vec4u }

fn raw_codes(row: u32, part: u32) -> RawCodes { return RawCodes(half_digits(row * BLOCKS + part / 2u, part & 1u)); }

fn first_codes(raw: RawCodes) -> Codes8 { return Codes8(digits4(raw.digits.x), digits4(raw.digits.y)); }

fn codes_behind(raw: RawCodes) -> RawCodes { return RawCodes(raw.digits.zwxy); }

#variant codes/curve
// IQ4_NL, IQ4_XS, MXFP4: element 8i + j of a block is nibble j of word i; its value is one of 16 integers. A rounded
// polynomial of the nibble minus 8 gives them without a table lookup for each weight, and with fewer registers than selects.
// needs: block
const CODE_STEP = vec4f(1.0);

fn curve4(word: u32) -> vec4f {
  let nibbles = vec4f(vec4i(vec4u(word) & vec4u(0xfu, 0xf0u, 0xf00u, 0xf000u)));
  let k = nibbles * vec4f(1.0, 0.0625, 0.00390625, 0.000244140625) - 8.0;
  return round((((CURVE_4 * k + CURVE_3) * k + CURVE_2) * k + CURVE_1) * k + CURVE_0);
}

fn codes(row: u32, block: u32) -> Block {
  let w = weight[row * BLOCKS + block];
  return Block(
    curve4(w.x), curve4(w.x >> 16u), curve4(w.y), curve4(w.y >> 16u),
    curve4(w.z), curve4(w.z >> 16u), curve4(w.w), curve4(w.w >> 16u));
}

fn code_part(row: u32, part: u32) -> Block { return codes(row, part); }

struct RawCodes { words: vec4u }

fn raw_codes(row: u32, part: u32) -> RawCodes { return RawCodes(weight[row * BLOCKS + part]); }

fn first_codes(raw: RawCodes) -> Codes8 { return Codes8(curve4(raw.words.x), curve4(raw.words.x >> 16u)); }

fn codes_behind(raw: RawCodes) -> RawCodes { return RawCodes(raw.words.yzwx); }

#variant codes/grid
// IQ3_XXS: byte i of a block's two words is the index in GRID of the sizes of elements 4i to 4i + 3. Bits 7i to 7i + 6 of its
// word in `weight_high` are the signs of the first seven of elements 8i to 8i + 7; an even number of the eight are negative.
// needs: block, grid4
fn codes(row: u32, block: u32) -> Block {
  let w = weight[row * BLOCKS + block];
  let high = weight_high[row * BLOCKS + block];
  let s = vec4u(signs8(high), signs8(high >> 7u), signs8(high >> 14u), signs8(high >> 21u));
  return Block(
    grid4(w.x, s.x), grid4(w.x >> 8u, s.x >> 4u), grid4(w.x >> 16u, s.y), grid4(w.x >> 24u, s.y >> 4u),
    grid4(w.y, s.z), grid4(w.y >> 8u, s.z >> 4u), grid4(w.y >> 16u, s.w), grid4(w.y >> 24u, s.w >> 4u));
}

fn code_part(row: u32, part: u32) -> Block { return codes(row, part); }
