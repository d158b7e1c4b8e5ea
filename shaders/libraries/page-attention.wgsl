// One page's part in the attention of GROUP heads of a query, which share their keys and values, by online softmax. The
// queries, one behind another in `qkv`, are rotated by their distance from the page's base. Sixteen components of each stay
// in registers while the page's keys pass by, and eight of the output while its values do.

// Where the first head of a query stands in qkv, and how far it is from the page's base.
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

fn of_head(query: Query, g: u32) -> Query { return Query(query.start + g * HEAD_DIM4, query.distance); }

fn inner(a: Quad, b: Quad) -> f32 { return dot(a.a, b.a) + dot(a.b, b.b) + dot(a.c, b.c) + dot(a.d, b.d); }

// Softmax over the pages so far, of which the output is not yet divided by the sum. `shrink`: what the output so far has
// to be multiplied by.
struct Softmax { maximum: f32, sum: f32, shrink: f32 }

const NO_PAGE = Softmax(-1e30, 0.0, 1.0);

// Of each key of a page, and each head: [PAGE_TOKENS, GROUP].
const SCORES = PAGE_TOKENS * GROUP;
const OUTPUT4 = GROUP * HEAD_DIM4;

fn weigh_scores(scores: ptr<function, array<f32, SCORES>>, g: u32, keys: u32, so_far: Softmax) -> Softmax {
  var maximum = so_far.maximum;
  for (var j = 0u; j < keys; j++) { maximum = max(maximum, scores[j * GROUP + g]); }
  let shrink = exp(so_far.maximum - maximum);
  var sum = so_far.sum * shrink;
  for (var j = 0u; j < keys; j++) {
    let weight = exp(scores[j * GROUP + g] - maximum);
    scores[j * GROUP + g] = weight;
    sum += weight;
  }
  return Softmax(maximum, sum, shrink);
}

fn attend_page(page: vec4u, kv_head: u32, start: u32, position: u32, softmax: ptr<function, array<Softmax, GROUP>>, output: ptr<function, array<vec4f, OUTPUT4>>) {
  var scores: array<f32, SCORES>;
  let form = page.y & 255u;
  let entries = page.y >> 8u;
  let query = Query(start, position - page.z);
  let keys = min(entries, query.distance + 1u);
  let half_base = page.x + kv_head * entries * HEAD_DIM4;
  let values = NUM_KV_HEADS * entries * HEAD_DIM4;
  // By hand: an array declared in a loop is not zeroed again on lavapipe (Mesa 25.0), nor one of a function it calls.
  for (var s = 0u; s < keys * GROUP; s++) { scores[s] = 0.0; }
  if (form == FORM_Q4 || form == FORM_K4V2) {
    score_q4(&scores, page.x + kv_head * select(Q4_HEAD, K4V2_HEAD, form == FORM_K4V2), query, keys);
  } else if (form == FORM_Q8) {
    score_q8(&scores, page.x + kv_head * Q8_HEAD, query, keys);
  } else {
    score_half(&scores, half_base, query, keys);
    if (form == FORM_SPARSE) { raise(&scores, weights_at(page, kv_head), keys); }
  }
  for (var g = 0u; g < GROUP; g++) { softmax[g] = weigh_scores(&scores, g, keys, softmax[g]); }
  if (form == FORM_Q4) {
    add_q4(output, &scores, page.x + kv_head * Q4_HEAD, keys, softmax);
  } else if (form == FORM_K4V2) {
    add_q2(output, &scores, page.x + kv_head * K4V2_HEAD, keys, softmax);
  } else if (form == FORM_Q8) {
    add_q8(output, &scores, page.x + kv_head * Q8_HEAD, keys, softmax);
  } else {
    add_half(output, &scores, half_base + values, keys, softmax);
  }
}
