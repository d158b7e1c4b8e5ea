// Causal attention over the paged cache by online softmax; scores are kept for one page at a time. One invocation a
// (token, split, head); a split is a run of pages. Leaves, per invocation, the unnormalised output and (maximum, sum)
// of the softmax for attention-merge. The query is rotated, page by page, by its distance from the page's base.
const HALF4 = HEAD_DIM4 / 2u;
const ROW4 = (NUM_HEADS + 2u * NUM_KV_HEADS) * HEAD_DIM4;
const PAGE_WORDS = 2u * NUM_KV_HEADS * PAGE_TOKENS * HEAD_DIM4;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.tokens * params.splits * NUM_HEADS) { return; }
  let head = id.x % NUM_HEADS;
  let split = (id.x / NUM_HEADS) % params.splits;
  let token = id.x / (NUM_HEADS * params.splits);
  let position = params.position + token;
  let query = token * ROW4 + head * HEAD_DIM4;
  let kv_head = head / (NUM_HEADS / NUM_KV_HEADS);
  let first_page = split * params.pagesPerSplit;
  let end_page = min(first_page + params.pagesPerSplit, position / PAGE_TOKENS + 1u);

  var maximum = -1e30;
  var sum = 0.0;
  var output: array<vec4f, HEAD_DIM4>;
  var rotated: array<vec4f, HEAD_DIM4>;
  var scores: array<f32, PAGE_TOKENS>;
  for (var page = first_page; page < end_page; page++) {
    let distance = position - page * PAGE_TOKENS;
    let keys = min(PAGE_TOKENS, distance + 1u);
    let key_base = pages[page] * PAGE_WORDS + kv_head * PAGE_TOKENS * HEAD_DIM4;
    let value_base = key_base + PAGE_WORDS / 2u;
    for (var i = 0u; i < HALF4; i++) {
      let cosine = rope[distance * HEAD_DIM4 + i];
      let sine = rope[distance * HEAD_DIM4 + HALF4 + i];
      let a = qkv[query + i] * SCALE;
      let b = qkv[query + HALF4 + i] * SCALE;
      rotated[i] = a * cosine - b * sine;
      rotated[HALF4 + i] = a * sine + b * cosine;
    }
    var page_maximum = maximum;
    for (var j = 0u; j < keys; j++) {
      var score = vec4f();
      for (var i = 0u; i < HEAD_DIM4; i++) { score += rotated[i] * half4(kv[key_base + j * HEAD_DIM4 + i]); }
      scores[j] = dot(score, vec4f(1.0));
      page_maximum = max(page_maximum, scores[j]);
    }
    let shrink = exp(maximum - page_maximum);
    maximum = page_maximum;
    sum *= shrink;
    for (var i = 0u; i < HEAD_DIM4; i++) { output[i] *= shrink; }
    for (var j = 0u; j < keys; j++) {
      let p = exp(scores[j] - maximum);
      sum += p;
      for (var i = 0u; i < HEAD_DIM4; i++) { output[i] += p * half4(kv[value_base + j * HEAD_DIM4 + i]); }
    }
  }
  let base = id.x * (HEAD_DIM4 + 1u);
  for (var i = 0u; i < HEAD_DIM4; i++) { partial_outputs[base + i] = output[i]; }
  partial_outputs[base + HEAD_DIM4] = vec4f(maximum, sum, 0.0, 0.0);
}
