// One page's part in the attention of one head of a query, by online softmax. The query, in `qkv`, is rotated by its
// distance from the page's base. Sixteen components of a head at a time stay in registers while the page's tokens pass by.

// Where a head of a query stands in qkv, and how far it is from the page's base.
struct Query { start: u32, distance: u32 }

// Components 4 i to 4 i + 7 of a head, and those they rotate with.
struct Quad { a: vec4f, b: vec4f, c: vec4f, d: vec4f }

fn rotated(query: Query, i: u32) -> Quad {
  let angle = query.distance * HEAD_DIM4 + i;
  let cosine0 = rope[angle] * SCALE;
  let cosine1 = rope[angle + 1u] * SCALE;
  let sine0 = rope[angle + HALF4] * SCALE;
  let sine1 = rope[angle + HALF4 + 1u] * SCALE;
  let a0 = qkv[query.start + i];
  let a1 = qkv[query.start + i + 1u];
  let b0 = qkv[query.start + HALF4 + i];
  let b1 = qkv[query.start + HALF4 + i + 1u];
  return Quad(a0 * cosine0 - b0 * sine0, a1 * cosine1 - b1 * sine1, a0 * sine0 + b0 * cosine0, a1 * sine1 + b1 * cosine1);
}

// Softmax over the pages so far, of which the output is not yet divided by the sum.
struct Softmax { maximum: f32, sum: f32 }

fn attend_page(page: vec4u, kv_head: u32, start: u32, position: u32, so_far: Softmax, output: ptr<function, array<vec4f, HEAD_DIM4>>) -> Softmax {
  var scores: array<f32, PAGE_TOKENS>;
  let form = page.y & 255u;
  let entries = page.y >> 8u;
  let query = Query(start, position - page.z);
  let keys = min(entries, query.distance + 1u);
  let half_base = page.x + kv_head * entries * HEAD_DIM4;
  let values = NUM_KV_HEADS * entries * HEAD_DIM4;
  // By hand: an array declared in a loop is not zeroed again on lavapipe (Mesa 25.0), nor one of a function it calls.
  for (var j = 0u; j < keys; j++) { scores[j] = 0.0; }
  if (form == FORM_Q4 || form == FORM_K4V2) {
    score_q4(&scores, page.x + kv_head * select(Q4_HEAD, K4V2_HEAD, form == FORM_K4V2), query, keys);
  } else if (form == FORM_Q8) {
    score_q8(&scores, page.x + kv_head * Q8_HEAD, query, keys);
  } else {
    score_half(&scores, half_base, query, keys);
    if (form == FORM_SPARSE) { raise(&scores, weights_at(page, kv_head), keys); }
  }
  var maximum = so_far.maximum;
  for (var j = 0u; j < keys; j++) { maximum = max(maximum, scores[j]); }
  let shrink = exp(so_far.maximum - maximum);
  var sum = so_far.sum * shrink;
  for (var j = 0u; j < keys; j++) {
    scores[j] = exp(scores[j] - maximum);
    sum += scores[j];
  }
  if (form == FORM_Q4) {
    add_q4(output, &scores, page.x + kv_head * Q4_HEAD, keys, shrink);
  } else if (form == FORM_K4V2) {
    add_q2(output, &scores, page.x + kv_head * K4V2_HEAD, keys, shrink);
  } else if (form == FORM_Q8) {
    add_q8(output, &scores, page.x + kv_head * Q8_HEAD, keys, shrink);
  } else {
    add_half(output, &scores, half_base + values, keys, shrink);
  }
  return Softmax(maximum, sum);
}
