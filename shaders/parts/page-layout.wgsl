#part page-layout
// Layout of a head of a quantized page, in units; see src/kernels/formats/page-forms.ts.
// needs: half4
const HALF4 = HEAD_DIM4 / 2u;
const KEY_RANGES = 2u;
const KEY_ORDER = KEY_RANGES + HEAD_DIM4;
const ORDER_UNITS = (HALF4 + 3u) / 4u;
const VALUE_SCALES = PAGE_TOKENS / 8u;
// Keys of three or four bits: the number of quads whose quants have one bit more; the same number have one bit less.
const WIDER = QUADS / 4u;
const NIBBLES = 0x0f0f0f0fu;
const CRUMBS = 0x03030303u;
const LOWEST_BITS = 0x01010101u;

fn is_quantized(form: u32) -> bool { return form == FORM_Q8 || form == FORM_Q4 || form == FORM_Q3 || form == FORM_K3V2; }

fn key_bits_of(form: u32) -> u32 { return select(select(3u, 4u, form == FORM_Q4), 8u, form == FORM_Q8); }

fn value_bits_of(form: u32) -> u32 { return select(key_bits_of(form), 2u, form == FORM_K3V2); }

// Whether keys have an order.
fn is_ordered(key_bits: u32) -> bool { return key_bits != 8u; }

fn wider_of(key_bits: u32) -> u32 { return select(0u, WIDER, is_ordered(key_bits)); }

// Units of a token's quants. Sixteen quants of two bits are a word, so a unit may be half empty.
fn row_of(bits: u32) -> u32 { return (HEAD_DIM4 * bits + 15u) / 16u; }

// Unit at which the keys' quants begin.
fn key_codes_of(key_bits: u32) -> u32 { return KEY_ORDER + select(0u, ORDER_UNITS, is_ordered(key_bits)); }

// Unit at which the values' scales begin.
fn value_scales_of(key_bits: u32) -> u32 { return key_codes_of(key_bits) + PAGE_TOKENS * row_of(key_bits); }

fn head_units(key_bits: u32, value_bits: u32) -> u32 {
  return value_scales_of(key_bits) + VALUE_SCALES + PAGE_TOKENS * row_of(value_bits);
}

// Reads a page-table entry for one head. A page of form `sparse` has other entries for each head, and begins with a unit for
// each: where the head's quants begin, counted from the page's start, then its number of entries and, times 256, the distance of
// their base from the page's. For a head with entries it is a page in k3v2.
fn page_of_head(page: vec4u, kv_head: u32) -> vec4u {
  if (ALL_F16 || (page.y & 255u) != FORM_SPARSE || page.y >> 8u == 0u) { return page; }
  let own = kv[page.x + kv_head];
  let first = page.x + own.x - kv_head * head_units(3u, 2u);
  return vec4u(first, FORM_K3V2 | ((own.y & 255u) << 8u), u32(i32(page.z) + (i32(own.y) >> 8u)), 0u);
}

// In a row of quants of `bits` each, the first `wider` quads have one bit more, the last `wider` quads one bit less. A row has
// three parts: the lower four bits of quants of four or five bits; the lower two bits of quants of two or three bits; and the
// upper bits of quants of five or three bits, half a word a quad. Bits of the quants of the quad n:
fn bits_of(bits: u32, wider: u32, n: u32) -> u32 { return bits + select(0u, 1u, n < wider) - select(0u, 1u, n >= QUADS - wider); }

// Quads in the first part.
fn nibble_quads(bits: u32, wider: u32) -> u32 { return select(select(0u, wider, bits == 3u), QUADS - wider, bits == 4u); }

// Index of the quad n among the quads of the third part.
fn odd_place(bits: u32, wider: u32, n: u32) -> u32 {
  if (bits == 3u) { return n - wider; }
  return select(n, n + 2u * wider - QUADS, n >= wider);
}

// Steps of the quantized scales and minima, and the lowest minimum.
struct Steps { scale: f32, minimum: f32, lowest: f32 }

fn steps_at(unit: u32) -> Steps {
  let steps = half4(kv[unit]);
  return Steps(steps.x / 255.0, steps.y / 255.0, steps.z);
}

fn word_of(row: u32, w: u32) -> u32 { return kv[row + w / 2u][w & 1u]; }

// Two bytes of the keys' order, which begins at the unit `order`: the pair at the place i, and the place of the pair i.
fn order_at(order: u32, i: u32) -> u32 { return word_of(order, i / 2u) >> (16u * (i & 1u)); }
