// How a head of a quantized page lies, in units; see src/kernels/formats/page-forms.ts.
// needs: half4
const HALF4 = HEAD_DIM4 / 2u;
const KEY_RANGES = 2u;
const KEY_ORDER = KEY_RANGES + HEAD_DIM4;
const ORDER_UNITS = (HALF4 + 3u) / 4u;
const VALUE_SCALES = PAGE_TOKENS / 8u;
// Of keys of three bits: the quads of slots whose codes have four; as many have two.
const FOURS = QUADS / 4u;
const NIBBLES = 0x0f0f0f0fu;
const CRUMBS = 0x03030303u;
const LOWEST_BITS = 0x01010101u;

fn is_quantized(form: u32) -> bool { return form == FORM_Q8 || form == FORM_Q4 || form == FORM_Q3 || form == FORM_K3V2; }

fn key_bits_of(form: u32) -> u32 { return select(select(3u, 4u, form == FORM_Q4), 8u, form == FORM_Q8); }

fn value_bits_of(form: u32) -> u32 { return select(key_bits_of(form), 2u, form == FORM_K3V2); }

// Units of a token's codes. Sixteen codes of two bits are a word, so a unit may be half empty.
fn row_of(bits: u32) -> u32 { return (HEAD_DIM4 * bits + 15u) / 16u; }

// Where the keys' codes begin.
fn key_codes_of(key_bits: u32) -> u32 { return KEY_ORDER + select(0u, ORDER_UNITS, key_bits == 3u); }

// Where the values' scales begin.
fn value_scales_of(key_bits: u32) -> u32 { return key_codes_of(key_bits) + PAGE_TOKENS * row_of(key_bits); }

fn head_units(key_bits: u32, value_bits: u32) -> u32 {
  return value_scales_of(key_bits) + VALUE_SCALES + PAGE_TOKENS * row_of(value_bits);
}

// Of a row of three bits a code, with `fours` quads of four bits before the others: where the words of the upper bits begin.
fn upper_bits(fours: u32) -> u32 { return fours + QUADS; }

// What the codes of scales and of minima count, and the lowest minimum.
struct Steps { scale: f32, minimum: f32, lowest: f32 }

fn steps_at(unit: u32) -> Steps {
  let steps = half4(kv[unit]);
  return Steps(steps.x / 255.0, steps.y / 255.0, steps.z);
}

fn word_of(row: u32, w: u32) -> u32 { return kv[row + w / 2u][w & 1u]; }

// Of keys' order, which begins at a unit: the pair in the slot i in the lowest byte, the slot of the pair i in the next.
fn order_at(order: u32, i: u32) -> u32 { return word_of(order, i / 2u) >> (16u * (i & 1u)); }
