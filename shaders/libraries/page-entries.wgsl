// One entry of a page of any form, for kernels that write pages anew.

// Sixteen components of a key: the vectors i and i + 1, and those they rotate with.
fn key_quad(page: vec4u, kv_head: u32, j: u32, i: u32) -> Quad {
  let form = page.y & 255u;
  if (form == FORM_Q4 || form == FORM_Q8) {
    let is_q4 = form == FORM_Q4;
    let base = page.x + kv_head * select(Q8_HEAD, Q4_HEAD, is_q4);
    var low: vec2u;
    var high: vec2u;
    if (is_q4) {
      let code = kv[base + KEY_CODES + j * Q4_ROW + i / 2u];
      low = vec2u(code.x, code.x >> 4u) & vec2u(NIBBLES);
      high = vec2u(code.y, code.y >> 4u) & vec2u(NIBBLES);
    } else {
      low = kv[base + KEY_CODES + j * Q8_ROW + i];
      high = kv[base + KEY_CODES + j * Q8_ROW + i + 1u];
    }
    let steps = steps_at(base);
    let range = base + KEY_RANGES + 2u * i;
    let scales = Quad(bytes(kv[range].x), bytes(kv[range].y), bytes(kv[range + 1u].x), bytes(kv[range + 1u].y));
    let minima = Quad(bytes(kv[range + 2u].x), bytes(kv[range + 2u].y), bytes(kv[range + 3u].x), bytes(kv[range + 3u].y));
    return Quad(
      bytes(low.x) * scales.a * steps.scale + minima.a * steps.minimum + steps.lowest,
      bytes(low.y) * scales.b * steps.scale + minima.b * steps.minimum + steps.lowest,
      bytes(high.x) * scales.c * steps.scale + minima.c * steps.minimum + steps.lowest,
      bytes(high.y) * scales.d * steps.scale + minima.d * steps.minimum + steps.lowest,
    );
  }
  let key = page.x + (kv_head * (page.y >> 8u) + j) * HEAD_DIM4 + i;
  return Quad(half4(kv[key]), half4(kv[key + 1u]), half4(kv[key + HALF4]), half4(kv[key + HALF4 + 1u]));
}

// Components 4 i to 4 i + 3 of a value.
fn value_at(page: vec4u, kv_head: u32, j: u32, i: u32) -> vec4f {
  let form = page.y & 255u;
  if (form == FORM_Q4 || form == FORM_Q8) {
    let is_q4 = form == FORM_Q4;
    let base = page.x + kv_head * select(Q8_HEAD, Q4_HEAD, is_q4);
    let row = select(Q8_ROW, Q4_ROW, is_q4);
    let ranges = base + KEY_CODES + PAGE_TOKENS * row;
    let codes = ranges + VALUE_RANGES + j * row;
    let range = value_range(steps_at(base + 1u), ranges, j);
    var code: u32;
    if (is_q4) { code = (kv[codes + i / 4u][(i / 2u) & 1u] >> (4u * (i & 1u))) & NIBBLES; } else { code = kv[codes + i / 2u][i & 1u]; }
    return bytes(code) * range.x + range.y;
  }
  let entries = page.y >> 8u;
  return half4(kv[page.x + ((NUM_KV_HEADS + kv_head) * entries + j) * HEAD_DIM4 + i]);
}

// What an entry's score is raised by.
fn raise_of(page: vec4u, kv_head: u32, j: u32) -> f32 {
  if ((page.y & 255u) != FORM_SPARSE) { return 0.0; }
  return bitcast<f32>(kv[weights_at(page, kv_head) + j / 2u][j & 1u]);
}
