// Keys and values of a page in any form, taken apart by invocations that share the page out: neighbours read what lies
// side by side. Layout in src/kernels/formats/page-forms.ts.
// needs: half4, page-layout

fn is_coded(page: vec4u) -> bool {
  let form = page.y & 255u;
  return !HALF_ONLY && (form == FORM_Q8 || form == FORM_Q4 || form == FORM_K4V2);
}

// A head of a page of codes: where it begins, bits of a code, units of a token's codes, where the values' ranges begin.
struct CodedHead { base: u32, key_bits: u32, value_bits: u32, key_row: u32, value_row: u32, ranges: u32 }

fn coded_head(page: vec4u, kv_head: u32) -> CodedHead {
  let form = page.y & 255u;
  let key_bits = select(4u, 8u, form == FORM_Q8);
  let value_bits = select(key_bits, 2u, form == FORM_K4V2);
  let key_row = row_of(key_bits);
  let value_row = row_of(value_bits);
  let ranges = KEY_CODES + PAGE_TOKENS * key_row;
  let base = page.x + kv_head * (ranges + VALUE_RANGES + PAGE_TOKENS * value_row);
  return CodedHead(base, key_bits, value_bits, key_row, value_row, base + ranges);
}

fn steps_of(unit: u32) -> Steps {
  let steps = half4(kv[unit]);
  return Steps(steps.x / 255.0, steps.y / 255.0, steps.z);
}

fn bytes_of(word: u32) -> vec4f { return vec4f((vec4u(word) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(255u)); }

// Codes of a key's vector i, or of the one that i rotates with: c = i & 1, and x = i & ~1 or one more.
fn key_codes(head: CodedHead, j: u32, x: u32, c: u32) -> vec4f { return bytes_of(key_bytes(head, j, x, c)); }

fn key_bytes(head: CodedHead, j: u32, x: u32, c: u32) -> u32 {
  let row = head.base + KEY_CODES + j * head.key_row;
  if (head.key_bits == 8u) { return kv[row + x][c]; }
  return (kv[row + x / 2u][x & 1u] >> (4u * c)) & 0x0f0f0f0fu;
}

// Scales and minima of that vector's channels.
struct KeyRange { scale: vec4f, minimum: vec4f }

fn key_range(head: CodedHead, x: u32, c: u32) -> KeyRange {
  let steps = steps_of(head.base);
  let unit = key_range_at(head, x);
  return KeyRange(bytes_of(kv[unit][c]) * steps.scale, bytes_of(kv[unit + 2u][c]) * steps.minimum + steps.lowest);
}

// Where the scales' codes are; two units behind are the minima's.
fn key_range_at(head: CodedHead, x: u32) -> u32 { return head.base + KEY_RANGES + 4u * (x / 2u) + (x & 1u); }

fn half_key_at(page: vec4u, kv_head: u32, j: u32) -> u32 { return page.x + (kv_head * (page.y >> 8u) + j) * HEAD_DIM4; }

// Components 4 i to 4 i + 3 of a value.
fn value_vector(page: vec4u, kv_head: u32, j: u32, i: u32) -> vec4f {
  if (!is_coded(page)) { return half4(kv[half_key_at(page, NUM_KV_HEADS + kv_head, j) + i]); }
  let head = coded_head(page, kv_head);
  let row = head.ranges + VALUE_RANGES + j * head.value_row;
  var word = 0u;
  if (head.value_bits == 8u) {
    word = kv[row + i / 2u][i & 1u];
  } else if (head.value_bits == 4u) {
    word = (kv[row + i / 4u][(i / 2u) & 1u] >> (4u * (i & 1u))) & 0x0f0f0f0fu;
  } else {
    word = (kv[row + i / 8u][(i / 4u) & 1u] >> (2u * (i & 3u))) & 0x03030303u;
  }
  let steps = steps_of(head.base + 1u);
  let range = kv[head.ranges + j / 4u][(j / 2u) & 1u] >> (16u * (j & 1u));
  let scale = f32(range & 255u) * steps.scale;
  let minimum = f32((range >> 8u) & 255u) * steps.minimum + steps.lowest;
  return bytes_of(word) * scale + minimum;
}

// What an entry's score is raised by: a sparse page has an f32 for each behind its keys and values.
fn raise_by(page: vec4u, kv_head: u32, j: u32) -> f32 {
  if (HALF_ONLY || (page.y & 255u) != FORM_SPARSE) { return 0.0; }
  let entries = page.y >> 8u;
  let head = page.x + 2u * NUM_KV_HEADS * entries * HEAD_DIM4 + kv_head * ((entries + 1u) / 2u);
  return bitcast<f32>(kv[head + j / 2u][j & 1u]);
}
