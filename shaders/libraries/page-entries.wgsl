// One entry of a page of any form, for kernels that write pages anew.

fn is_quantized(form: u32) -> bool { return form == FORM_Q8 || form == FORM_Q4 || form == FORM_Q2; }

// Where a head of a quantised page begins, and the units of its rows.
struct Rows { base: u32, row: u32 }

fn rows_of(page: vec4u, kv_head: u32) -> Rows {
  let form = page.y & 255u;
  if (form == FORM_Q8) { return Rows(page.x + kv_head * Q8_HEAD, Q8_ROW); }
  if (form == FORM_Q4) { return Rows(page.x + kv_head * Q4_HEAD, Q4_ROW); }
  return Rows(page.x + kv_head * Q2_HEAD, Q2_ROW);
}

// The codes of the sixteen components `g` of a row, a byte each.
fn codes_of(form: u32, row: u32, g: u32) -> vec4u {
  if (form == FORM_Q8) { return vec4u(kv[row + 2u * g], kv[row + 2u * g + 1u]); }
  if (form == FORM_Q4) {
    let unit = kv[row + g];
    return vec4u(unit.x, unit.x >> 4u, unit.y, unit.y >> 4u) & vec4u(NIBBLES);
  }
  return (vec4u(kv[row + g / 2u][g & 1u]) >> vec4u(0u, 2u, 4u, 6u)) & vec4u(CRUMBS);
}

// Sixteen components of a key: the vectors i and i + 1, and those they rotate with.
fn key_quad(page: vec4u, kv_head: u32, j: u32, i: u32) -> Quad {
  let form = page.y & 255u;
  if (is_quantized(form)) {
    let rows = rows_of(page, kv_head);
    let codes = codes_of(form, rows.base + KEY_CODES + j * rows.row, i / 2u);
    let range = rows.base + KEY_RANGES + 2u * i;
    let scales = vec4u(kv[range], kv[range + 1u]);
    let minima = vec4u(kv[range + 2u], kv[range + 3u]);
    let steps = steps_at(rows.base);
    var key: array<vec4f, 4>;
    for (var v = 0u; v < 4u; v++) {
      key[v] = bytes(codes[v]) * bytes(scales[v]) * steps.scale + bytes(minima[v]) * steps.minimum + steps.lowest;
    }
    return Quad(key[0], key[1], key[2], key[3]);
  }
  let key = page.x + (kv_head * (page.y >> 8u) + j) * HEAD_DIM4 + i;
  return Quad(half4(kv[key]), half4(kv[key + 1u]), half4(kv[key + HALF4]), half4(kv[key + HALF4 + 1u]));
}

// Components 4 i to 4 i + 3 of a value.
fn value_at(page: vec4u, kv_head: u32, j: u32, i: u32) -> vec4f {
  let form = page.y & 255u;
  if (is_quantized(form)) {
    let rows = rows_of(page, kv_head);
    let ranges = rows.base + KEY_CODES + PAGE_TOKENS * rows.row;
    let codes = codes_of(form, ranges + VALUE_RANGES + j * rows.row, i / 4u);
    let range = value_range(steps_at(rows.base + 1u), ranges, j);
    return bytes(codes[i & 3u]) * range.x + range.y;
  }
  let entries = page.y >> 8u;
  return half4(kv[page.x + ((NUM_KV_HEADS + kv_head) * entries + j) * HEAD_DIM4 + i]);
}

// What an entry's score is raised by.
fn raise_of(page: vec4u, kv_head: u32, j: u32) -> f32 {
  if ((page.y & 255u) != FORM_SPARSE) { return 0.0; }
  return bitcast<f32>(kv[weights_at(page, kv_head) + j / 2u][j & 1u]);
}
