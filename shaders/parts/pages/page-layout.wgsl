// How a head of a quantized page lies, in units; see src/kernels/formats/page-forms.ts.
// needs: half4
const HALF4 = HEAD_DIM4 / 2u;
const KEY_RANGES = 2u;
const KEY_ORDER = KEY_RANGES + HEAD_DIM4;
const ORDER_UNITS = (HALF4 + 3u) / 4u;
const VALUE_SCALES = PAGE_TOKENS / 8u;
// Of keys of three or four bits: the quads of slots whose codes have one more; as many have one less.
const WIDER = QUADS / 4u;
const NIBBLES = 0x0f0f0f0fu;
const CRUMBS = 0x03030303u;
const LOWEST_BITS = 0x01010101u;

fn is_quantized(form: u32) -> bool { return form == FORM_Q8 || form == FORM_Q4 || form == FORM_Q3 || form == FORM_K3V2; }

fn key_bits_of(form: u32) -> u32 { return select(select(3u, 4u, form == FORM_Q4), 8u, form == FORM_Q8); }

fn value_bits_of(form: u32) -> u32 { return select(key_bits_of(form), 2u, form == FORM_K3V2); }

// Whether keys lie in an order of their own.
fn is_ordered(key_bits: u32) -> bool { return key_bits != 8u; }

fn wider_of(key_bits: u32) -> u32 { return select(0u, WIDER, is_ordered(key_bits)); }

// Units of a token's codes. Sixteen codes of two bits are a word, so a unit may be half empty.
fn row_of(bits: u32) -> u32 { return (HEAD_DIM4 * bits + 15u) / 16u; }

// Where the keys' codes begin.
fn key_codes_of(key_bits: u32) -> u32 { return KEY_ORDER + select(0u, ORDER_UNITS, is_ordered(key_bits)); }

// Where the values' scales begin.
fn value_scales_of(key_bits: u32) -> u32 { return key_codes_of(key_bits) + PAGE_TOKENS * row_of(key_bits); }

fn head_units(key_bits: u32, value_bits: u32) -> u32 {
  return value_scales_of(key_bits) + VALUE_SCALES + PAGE_TOKENS * row_of(value_bits);
}

// A row of codes of `bits` each: the first `wider` quads have one bit more, and as many at the end one less. Of codes of
// four or five bits a plane has the lower four, of codes of two or three one the lower two; what is odd has its upper bit in
// a third plane, half a word a quad. Bits of the codes of the quad n:
fn bits_of(bits: u32, wider: u32, n: u32) -> u32 { return bits + select(0u, 1u, n < wider) - select(0u, 1u, n >= QUADS - wider); }

// Quads in the first plane.
fn nibble_quads(bits: u32, wider: u32) -> u32 { return select(select(0u, wider, bits == 3u), QUADS - wider, bits == 4u); }

// Quads in the third one, and the i-th of them.
fn odd_quads(bits: u32, wider: u32) -> u32 { return select(select(0u, QUADS - 2u * wider, bits == 3u), 2u * wider, bits == 4u); }

fn odd_quad(bits: u32, wider: u32, i: u32) -> u32 {
  if (bits == 3u) { return i + wider; }
  return select(i, i + QUADS - 2u * wider, i >= wider);
}

// Which of them the quad n is.
fn odd_place(bits: u32, wider: u32, n: u32) -> u32 {
  if (bits == 3u) { return n - wider; }
  return select(n, n + 2u * wider - QUADS, n >= wider);
}

// What the codes of scales and of minima count, and the lowest minimum.
struct Steps { scale: f32, minimum: f32, lowest: f32 }

fn steps_at(unit: u32) -> Steps {
  let steps = half4(kv[unit]);
  return Steps(steps.x / 255.0, steps.y / 255.0, steps.z);
}

fn word_of(row: u32, w: u32) -> u32 { return kv[row + w / 2u][w & 1u]; }

// Of keys' order, which begins at a unit: the pair in the slot i in the lowest byte, the slot of the pair i in the next.
fn order_at(order: u32, i: u32) -> u32 { return word_of(order, i / 2u) >> (16u * (i & 1u)); }
