#part page-units
// Keys and values of a page in any form, unpacked by invocations that share the page: neighbours read neighbouring words.
// src/kernels/formats/page-forms.ts has the layout.
// needs: half4, page-layout

fn is_coded(page: vec4u) -> bool { return !ALL_F16 && is_quantized(page.y & 255u); }

// A head of a quantized page: where it begins, bits of a quant, units of a token's quants, where the keys' quants and the
// values' scales begin.
struct CodedHead { base: u32, key_bits: u32, value_bits: u32, key_row: u32, value_row: u32, codes: u32, scales: u32 }

fn coded_head(page: vec4u, kv_head: u32) -> CodedHead {
  let form = page.y & 255u;
  let key_bits = key_bits_of(form);
  let value_bits = value_bits_of(form);
  let base = page.x + kv_head * head_units(key_bits, value_bits);
  return CodedHead(base, key_bits, value_bits, row_of(key_bits), row_of(value_bits), base + key_codes_of(key_bits), base + value_scales_of(key_bits));
}

fn bytes_of(word: u32) -> vec4f { return vec4f((vec4u(word) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(255u)); }

// The pair of vectors at the place s of the keys' order; `slot_of` is the inverse.
fn pair_in(head: CodedHead, s: u32) -> u32 { return select(s, order_at(head.base + KEY_ORDER, s) & 255u, is_ordered(head.key_bits)); }

fn slot_of(head: CodedHead, pair: u32) -> u32 { return select(pair, (order_at(head.base + KEY_ORDER, pair) >> 8u) & 255u, is_ordered(head.key_bits)); }

// Eight quants, a byte each: the vectors v and v + 1 of the quad n of a row; v is even.
fn code_words(bits: u32, wider: u32, row: u32, n: u32, v: u32) -> vec2u {
  if (bits == 8u) { return kv[row + 2u * n + v / 2u]; }
  let own = bits_of(bits, wider, n);
  let nibbles = nibble_quads(bits, wider);
  var lower: vec2u;
  if (own >= 4u) {
    lower = (vec2u(kv[row + n][v / 2u]) >> vec2u(0u, 4u)) & vec2u(NIBBLES);
  } else {
    lower = (vec2u(word_of(row, n + nibbles)) >> (2u * v + vec2u(0u, 2u))) & vec2u(CRUMBS);
  }
  if ((own & 1u) == 0u) { return lower; }
  let place = odd_place(bits, wider, n);
  let upper = vec2u(word_of(row, nibbles + QUADS + place / 2u)) >> (v + 4u * (place & 1u) + vec2u(0u, 1u));
  return lower | ((upper & vec2u(LOWEST_BITS)) << vec2u(own - 1u));
}

// Four quants: the vector v.
fn code_bytes(bits: u32, wider: u32, row: u32, n: u32, v: u32) -> u32 { return code_words(bits, wider, row, n, v & ~1u)[v & 1u]; }

// Quants of a key's vectors at the places x & ~1 and x | 1. x & 1 = 0: the vectors; x & 1 = 1: those that they rotate with.
fn key_words(head: CodedHead, j: u32, x: u32) -> vec2u {
  return code_words(head.key_bits, wider_of(head.key_bits), head.codes + j * head.key_row, x / 2u, 2u * (x & 1u));
}

fn key_bytes(head: CodedHead, j: u32, x: u32, c: u32) -> u32 { return key_words(head, j, x)[c]; }

// Scales and minima of the channels of a key's vector.
struct KeyRange { scale: vec4f, minimum: vec4f }

fn key_range(head: CodedHead, x: u32, c: u32) -> KeyRange {
  let steps = steps_at(head.base);
  let unit = key_range_at(head, x);
  return KeyRange(bytes_of(kv[unit][c]) * steps.scale, bytes_of(kv[unit + 2u][c]) * steps.minimum + steps.lowest);
}

// Unit of the scales' quants; the minima's are two units later.
fn key_range_at(head: CodedHead, x: u32) -> u32 { return head.base + KEY_RANGES + 4u * (x / 2u) + (x & 1u); }

fn half_key_at(page: vec4u, kv_head: u32, j: u32) -> u32 { return page.x + (kv_head * (page.y >> 8u) + j) * HEAD_DIM4; }

// A key's vector i, or with `other` = 1 the vector that rotates with it.
fn key_vector(page: vec4u, kv_head: u32, j: u32, i: u32, other: u32) -> vec4f {
  if (!is_coded(page)) { return half4(kv[half_key_at(page, kv_head, j) + i + other * HALF4]); }
  let head = coded_head(page, kv_head);
  let slot = slot_of(head, i);
  return coded_vector(head, j, (slot & ~1u) + other, slot & 1u);
}

// One component after another, so that few are in registers.
fn coded_vector(head: CodedHead, j: u32, x: u32, c: u32) -> vec4f {
  let steps = steps_at(head.base);
  let unit = key_range_at(head, x);
  let words = vec3u(key_bytes(head, j, x, c), kv[unit][c], kv[unit + 2u][c]);
  return vec4f(component(words, steps, 0u), component(words, steps, 1u), component(words, steps, 2u), component(words, steps, 3u));
}

// `words`: four quants, and the quants of their channels' scales and minima.
fn component(words: vec3u, steps: Steps, i: u32) -> f32 {
  let bytes = vec3f((words >> vec3u(8u * i)) & vec3u(255u));
  return bytes.x * (bytes.y * steps.scale) + (bytes.z * steps.minimum + steps.lowest);
}

// Components 4 i to 4 i + 3 of a value.
fn value_vector(page: vec4u, kv_head: u32, j: u32, i: u32) -> vec4f {
  if (!is_coded(page)) { return half4(kv[half_key_at(page, NUM_KV_HEADS + kv_head, j) + i]); }
  let head = coded_head(page, kv_head);
  let codes = bytes_of(code_bytes(head.value_bits, 0u, head.scales + VALUE_SCALES + j * head.value_row, i / 4u, i & 3u));
  let scale = f32((word_of(head.scales, j / 4u) >> (8u * (j & 3u))) & 255u) * steps_at(head.base + 1u).scale;
  return (codes - f32((1u << head.value_bits) - 1u) * 0.5) * scale;
}
