// Causal attention over the paged cache by online softmax; scores are kept for one page at a time. One invocation a
// (token, split, head); a split is a run of pages. Leaves, per invocation, the unnormalised output and (maximum, sum) of
// the softmax for attention-merge. The query is rotated, page by page, by its distance from the page's base. A head is
// taken sixteen components at a time, which stay in registers while the page's tokens pass by.
const HALF4 = HEAD_DIM4 / 2u;
const ROW4 = (NUM_HEADS + 2u * NUM_KV_HEADS) * HEAD_DIM4;
const PAGE_WORDS = 2u * NUM_KV_HEADS * PAGE_TOKENS * HEAD_DIM4;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.tokens * params.splits * NUM_HEADS) { return; }
  let head = id.x % NUM_HEADS;
  let split = (id.x / NUM_HEADS) % params.splits;
  let token = id.x / (NUM_HEADS * params.splits);
  let position = batch_table[token].y;
  let pages_start = batch_table[token].z;
  let query = token * ROW4 + head * HEAD_DIM4;
  let kv_head = head / (NUM_HEADS / NUM_KV_HEADS);
  let first_page = split * params.pagesPerSplit;
  let end_page = min(first_page + params.pagesPerSplit, position / PAGE_TOKENS + 1u);

  var maximum = -1e30;
  var sum = 0.0;
  var output: array<vec4f, HEAD_DIM4>;
  var scores: array<f32, PAGE_TOKENS>;
  for (var page = first_page; page < end_page; page++) {
    let distance = position - page * PAGE_TOKENS;
    let keys = min(PAGE_TOKENS, distance + 1u);
    let key_base = pages[pages_start + page] * PAGE_WORDS + kv_head * PAGE_TOKENS * HEAD_DIM4;
    let value_base = key_base + PAGE_WORDS / 2u;
    // By hand: an array declared in the loop is not zeroed again on lavapipe (Mesa 25.0).
    for (var j = 0u; j < keys; j++) { scores[j] = 0.0; }
    for (var i = 0u; i < HALF4; i += 2u) {
      let cosine0 = rope[distance * HEAD_DIM4 + i] * SCALE;
      let cosine1 = rope[distance * HEAD_DIM4 + i + 1u] * SCALE;
      let sine0 = rope[distance * HEAD_DIM4 + HALF4 + i] * SCALE;
      let sine1 = rope[distance * HEAD_DIM4 + HALF4 + i + 1u] * SCALE;
      let a0 = qkv[query + i];
      let a1 = qkv[query + i + 1u];
      let b0 = qkv[query + HALF4 + i];
      let b1 = qkv[query + HALF4 + i + 1u];
      let c0 = a0 * cosine0 - b0 * sine0;
      let c1 = a1 * cosine1 - b1 * sine1;
      let d0 = a0 * sine0 + b0 * cosine0;
      let d1 = a1 * sine1 + b1 * cosine1;
      for (var j = 0u; j < keys; j++) {
        let key = key_base + j * HEAD_DIM4 + i;
        scores[j] += dot(c0, half4(kv[key])) + dot(c1, half4(kv[key + 1u]))
          + dot(d0, half4(kv[key + HALF4])) + dot(d1, half4(kv[key + HALF4 + 1u]));
      }
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
    for (var i = 0u; i < HEAD_DIM4; i += 4u) {
      var o0 = output[i] * shrink;
      var o1 = output[i + 1u] * shrink;
      var o2 = output[i + 2u] * shrink;
      var o3 = output[i + 3u] * shrink;
      for (var j = 0u; j < keys; j++) {
        let value = value_base + j * HEAD_DIM4 + i;
        let p = scores[j];
        o0 += p * half4(kv[value]);
        o1 += p * half4(kv[value + 1u]);
        o2 += p * half4(kv[value + 2u]);
        o3 += p * half4(kv[value + 3u]);
      }
      output[i] = o0;
      output[i + 1u] = o1;
      output[i + 2u] = o2;
      output[i + 3u] = o3;
    }
  }
  let base = id.x * (HEAD_DIM4 + 1u);
  for (var i = 0u; i < HEAD_DIM4; i++) { partial_outputs[base + i] = output[i]; }
  partial_outputs[base + HEAD_DIM4] = vec4f(maximum, sum, 0.0, 0.0);
}
