// One entry of a page of any form, for kernels that write pages anew.
// needs: half4, page-attention, page-layout, page-quantized

fn is_quantized(form: u32) -> bool { return form == FORM_Q8 || form == FORM_Q4 || form == FORM_K4V2; }

// Where a head of a quantized page begins, and the bits of a key's codes and of a value's.
struct Codes { base: u32, key: u32, value: u32 }

fn codes_of(page: vec4u, kv_head: u32) -> Codes {
  let form = page.y & 255u;
  if (form == FORM_Q8) { return Codes(page.x + kv_head * Q8_HEAD, 8u, 8u); }
  if (form == FORM_Q4) { return Codes(page.x + kv_head * Q4_HEAD, 4u, 4u); }
  return Codes(page.x + kv_head * K4V2_HEAD, 4u, 2u);
}

// The codes of the sixteen components `g` of the row at unit `row`, a byte each.
fn code_bytes(bits: u32, row: u32, g: u32) -> vec4u {
  if (bits == 8u) { return vec4u(kv[row + 2u * g], kv[row + 2u * g + 1u]); }
  if (bits == 4u) {
    let unit = kv[row + g];
    return vec4u(unit.x, unit.x >> 4u, unit.y, unit.y >> 4u) & vec4u(NIBBLES);
  }
  return (vec4u(kv[row + g / 2u][g & 1u]) >> vec4u(0u, 2u, 4u, 6u)) & vec4u(CRUMBS);
}

// Sixteen components of a key: the vectors i and i + 1, and those they rotate with.
fn key_quad(page: vec4u, kv_head: u32, j: u32, i: u32) -> Quad {
  let form = page.y & 255u;
  if (is_quantized(form)) {
    let of_head = codes_of(page, kv_head);
    let codes = code_bytes(of_head.key, of_head.base + KEY_CODES + j * row_of(of_head.key), i / 2u);
    let range = of_head.base + KEY_RANGES + 2u * i;
    let scales = vec4u(kv[range], kv[range + 1u]);
    let minima = vec4u(kv[range + 2u], kv[range + 3u]);
    let steps = steps_at(of_head.base);
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
    let of_head = codes_of(page, kv_head);
    let ranges = of_head.base + KEY_CODES + PAGE_TOKENS * row_of(of_head.key);
    let codes = code_bytes(of_head.value, ranges + VALUE_RANGES + j * row_of(of_head.value), i / 4u);
    let range = value_range(steps_at(of_head.base + 1u), ranges, j);
    return bytes(codes[i & 3u]) * range.x + range.y;
  }
  let entries = page.y >> 8u;
  return half4(kv[page.x + ((NUM_KV_HEADS + kv_head) * entries + j) * HEAD_DIM4 + i]);
}
