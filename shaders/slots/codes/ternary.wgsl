// TQ1_0: numbers from 0 to 2, from which 1 is subtracted, are base-3 digits of bytes that count 256ths. The first digit of a
// byte b is the whole part of 3b / 256; what is behind it is again such a byte. Eight blocks share 48 bytes of five digits in
// `weight` and 4 of four in `weight_high`: blocks 0 to 4 are a digit of 32 bytes, the other halves of blocks one of 16, and
// the last one all of the 4.
// needs: block
const CODE_STEP = vec4f(0.00390625, 0.00390625, 5.9604644775390625e-8, 5.9604644775390625e-8);

// Bytes times m, without what is above a byte.
fn times_bytes(words: vec4u, m: vec4u) -> vec4u {
  let low = vec4u(0x00ff00ffu);
  return (((words & low) * m) & low) | (((((words >> vec4u(8u)) & low) * m) & low) << vec4u(8u));
}

// A half's 16 bytes, from its digit on.
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
