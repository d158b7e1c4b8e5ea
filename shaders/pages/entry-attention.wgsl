// How much every QUERY_STRIDE-th query of a batch attends to each entry of some pages, by `entry-measure`. One workgroup a (page,
// head of keys, KEYS of its keys); an invocation has every SUBSETS-th query for one key. Queries are rotated by their distance
// from the base of the page; their softmaxes are known.
// needs: entry-measure, half4, page-layout, page-units, score-scale, split-outputs
const ROW4 = (FIRST_KEY + 2u * NUM_KV_HEADS) * HEAD_DIM4;
const SHARED = NUM_HEADS / NUM_KV_HEADS;
const SUBSETS = WORKGROUP / KEYS;

// By vector, then by key.
var<workgroup> keys: array<vec4f, KEYS * HEAD_DIM4>;
var<workgroup> queries: array<vec4f, QUERIES * HEAD_DIM4>;
// Maximum and sum of the softmax of each query.
var<workgroup> softmaxes: array<vec2f, QUERIES>;
var<workgroup> measures: array<f32, WORKGROUP>;

fn stage_keys(page: vec4u, kv_head: u32, first: u32, id: u32) {
  for (var item = id; item < KEYS * HALF4; item += WORKGROUP) {
    let j = item / HALF4;
    let i = item % HALF4;
    keys[i * KEYS + j] = key_vector(page, kv_head, first + j, i, 0u);
    keys[(HALF4 + i) * KEYS + j] = key_vector(page, kv_head, first + j, i, 1u);
  }
}

// A row is a query of one head.
fn token_of(row: u32) -> u32 { return params.firstQuery + row / SHARED * QUERY_STRIDE; }

fn stage_query(at: u32, token: u32, head: u32, base: u32, i: u32) {
  let position = batch_table[token].y;
  let angle = (position - base) * HEAD_DIM4 + i;
  let query = token * ROW4 + head * HEAD_DIM4 + i;
  let a = qkv[query] * score_scale(position, i);
  let b = qkv[query + HALF4] * score_scale(position, i);
  queries[at * HEAD_DIM4 + i] = a * rope[angle] - b * rope[angle + HALF4];
  queries[at * HEAD_DIM4 + HALF4 + i] = a * rope[angle + HALF4] + b * rope[angle];
}

fn softmax_of(token: u32, head: u32) -> vec2f {
  let first = first_split(token, head) + HEAD_DIM4;
  var maximum = -1e30;
  for (var s = 0u; s < params.splits; s++) { maximum = max(maximum, partial_outputs[first + s * NEXT_SPLIT].x); }
  var sum = 0.0;
  for (var s = 0u; s < params.splits; s++) {
    let softmax = partial_outputs[first + s * NEXT_SPLIT];
    sum += exp(softmax.x - maximum) * softmax.y;
  }
  return vec2f(maximum, sum);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) id: u32) {
  let kv_head = group.y;
  let page = page_of_head(pages[params.page + group.z], kv_head);
  if (page.y >> 8u == 0u) { return; } // no entries
  let first_key = group.x * KEYS;
  let j = id % KEYS;
  let count = (params.tokens - params.firstQuery + QUERY_STRIDE - 1u) / QUERY_STRIDE * SHARED;
  stage_keys(page, kv_head, first_key, id);
  var measure = 0.0;
  for (var first = 0u; first < count; first += QUERIES) {
    let rows = min(QUERIES, count - first);
    workgroupBarrier();
    for (var item = id; item < rows * HALF4; item += WORKGROUP) {
      let row = first + item / HALF4;
      stage_query(item / HALF4, token_of(row), kv_head * SHARED + row % SHARED, page.z, item % HALF4);
    }
    for (var row = id; row < rows; row += WORKGROUP) {
      softmaxes[row] = softmax_of(token_of(first + row), kv_head * SHARED + (first + row) % SHARED);
    }
    workgroupBarrier();
    for (var row = id / KEYS; row < rows; row += SUBSETS) {
      var score = 0.0;
      for (var c = 0u; c < HEAD_DIM4; c++) { score += dot(queries[row * HEAD_DIM4 + c], keys[c * KEYS + j]); }
      measure = joined(measure, measure_of(exp(score - softmaxes[row].x) / softmaxes[row].y));
    }
  }
  measures[id] = measure;
  workgroupBarrier();
  if (id >= KEYS) { return; }
  for (var s = 1u; s < SUBSETS; s++) { measure = joined(measure, measures[s * KEYS + id]); }
  let at = params.first + (group.z * NUM_KV_HEADS + kv_head) * PAGE_TOKENS + first_key + id;
  // Earlier batches have left their measures.
  if (params.isFirst == 0u) { measure = joined(measure, found[at]); }
  found[at] = measure;
}
