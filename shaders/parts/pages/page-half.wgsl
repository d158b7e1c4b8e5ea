// Pages in f16: keys [NUM_KV_HEADS, entries], then values. A sparse page has an f32 for each entry behind them, a head's
// from a unit on: what its score is raised by, about the logarithm of the tokens it stands for.
// needs: half4, page-attention, page-layout
fn weights_at(page: vec4u, kv_head: u32) -> u32 {
  let entries = page.y >> 8u;
  return page.x + 2u * NUM_KV_HEADS * entries * HEAD_DIM4 + kv_head * ((entries + 1u) / 2u);
}

// What an entry's score is raised by.
fn raise_of(page: vec4u, kv_head: u32, j: u32) -> f32 {
  if ((page.y & 255u) != FORM_SPARSE) { return 0.0; }
  return bitcast<f32>(kv[weights_at(page, kv_head) + j / 2u][j & 1u]);
}

fn half_key(at: u32) -> Quad { return Quad(half4(kv[at]), half4(kv[at + 1u]), half4(kv[at + HALF4]), half4(kv[at + HALF4 + 1u])); }

fn half_value(at: u32) -> Quad { return Quad(half4(kv[at]), half4(kv[at + 1u]), half4(kv[at + 2u]), half4(kv[at + 3u])); }

fn score_half(scores: ptr<function, Scores>, page: vec4u, kv_head: u32, queries: ptr<function, Queries>, keys: u32) {
  for (var j = 0u; j < keys; j++) {
    let key = page.x + (kv_head * (page.y >> 8u) + j) * HEAD_DIM4;
    var score = vec4f(raise_of(page, kv_head, j));
#for n in QUADS
    let k#n = half_key(key + 2u * #n);
#for g in GROUP
    score[#g] += inner(queries.q#g_#n, k#n);
#end
#end
    scores[j] = score;
  }
}

fn add_half(heads: ptr<function, Heads>, scores: ptr<function, Scores>, page: vec4u, kv_head: u32, keys: u32) {
  for (var j = 0u; j < keys; j++) {
    let value = page.x + ((NUM_KV_HEADS + kv_head) * (page.y >> 8u) + j) * HEAD_DIM4;
    let weights = scores[j];
#for n in QUADS
    let v#n = half_value(value + 4u * #n);
#for g in GROUP
    heads.o#g_#n = plus(heads.o#g_#n, v#n, weights[#g]);
#end
#end
  }
}
