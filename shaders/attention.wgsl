// Causal attention over the paged cache by online softmax; scores are kept for one page at a time. One invocation a
// (token, split, head); a split is a run of pages, each in a form of its own. Leaves, per invocation, the unnormalised
// output and (maximum, sum) of the softmax for attention-merge. The query is rotated, page by page, by its distance from
// the page's base. A head is taken sixteen components at a time, which stay in registers while the page's tokens pass by.
const HALF4 = HEAD_DIM4 / 2u;
const ROW4 = (NUM_HEADS + 2u * NUM_KV_HEADS) * HEAD_DIM4;
const Q8_HEAD = 2u * HEAD_DIM4 + PAGE_TOKENS / 2u + PAGE_TOKENS * HEAD_DIM4;
const Q4_HEAD = 2u * HEAD_DIM4 + PAGE_TOKENS / 2u + PAGE_TOKENS * HEAD_DIM4 / 2u;

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

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.tokens * params.splits * NUM_HEADS) { return; }
  let head = id.x % NUM_HEADS;
  let split = (id.x / NUM_HEADS) % params.splits;
  let token = id.x / (NUM_HEADS * params.splits);
  let entry = batch_table[token];
  let position = entry.y;
  let kv_head = head / (NUM_HEADS / NUM_KV_HEADS);
  let first_page = split * params.pagesPerSplit;
  let end_page = min(first_page + params.pagesPerSplit, entry.w + 1u);

  var maximum = -1e30;
  var sum = 0.0;
  var output: array<vec4f, HEAD_DIM4>;
  var scores: array<f32, PAGE_TOKENS>;
  for (var p = first_page; p < end_page; p++) {
    let page = pages[entry.z + p];
    let form = page.y & 255u;
    let entries = page.y >> 8u;
    let query = Query(token * ROW4 + head * HEAD_DIM4, position - page.z);
    let keys = min(entries, query.distance + 1u);
    let half_base = page.x + kv_head * entries * HEAD_DIM4;
    let values = NUM_KV_HEADS * entries * HEAD_DIM4;
    // By hand: an array declared in the loop is not zeroed again on lavapipe (Mesa 25.0).
    for (var j = 0u; j < keys; j++) { scores[j] = 0.0; }
    if (form == FORM_Q4) {
      score_q4(&scores, page.x + kv_head * Q4_HEAD, query, keys);
    } else if (form == FORM_Q8) {
      score_q8(&scores, page.x + kv_head * Q8_HEAD, query, keys);
    } else {
      score_half(&scores, half_base, query, keys);
      if (form == FORM_SPARSE) { raise(&scores, page.x + 2u * values, kv_head * entries, keys); }
    }
    var page_maximum = maximum;
    for (var j = 0u; j < keys; j++) { page_maximum = max(page_maximum, scores[j]); }
    let shrink = exp(maximum - page_maximum);
    maximum = page_maximum;
    sum *= shrink;
    for (var j = 0u; j < keys; j++) {
      scores[j] = exp(scores[j] - maximum);
      sum += scores[j];
    }
    if (form == FORM_Q4) {
      add_q4(&output, &scores, page.x + kv_head * Q4_HEAD + KEY_CODES + PAGE_TOKENS * HEAD_DIM4 / 4u, keys, shrink);
    } else if (form == FORM_Q8) {
      add_q8(&output, &scores, page.x + kv_head * Q8_HEAD + KEY_CODES + PAGE_TOKENS * HALF4, keys, shrink);
    } else {
      add_half(&output, &scores, half_base + values, keys, shrink);
    }
  }
  let base = id.x * (HEAD_DIM4 + 1u);
  for (var i = 0u; i < HEAD_DIM4; i++) { partial_outputs[base + i] = output[i]; }
  partial_outputs[base + HEAD_DIM4] = vec4f(maximum, sum, 0.0, 0.0);
}
