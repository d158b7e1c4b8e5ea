// The scores of a page's keys for GROUP heads of a query that share them, found by a workgroup: LANES invocations share a key
// out, and each adds up its part for all heads.
// needs: half4, page-layout, page-units
const SHARED = NUM_HEADS / NUM_KV_HEADS;
// Keys that are looked at side by side.
const ABREAST = WORKGROUP / LANES;
// One more, so that a key's parts lie in different banks.
const PARTS = PAGE_TOKENS + 1u;

// Rotated by their distance from the page's base; where keys are codes, times the channels' scales.
var<workgroup> queries: array<vec4f, GROUP * HEAD_DIM4>;
// What the channels' minima give, of each head's pairs of vectors.
var<workgroup> raises: array<f32, GROUP * HALF4>;
// A component a head.
var<workgroup> parts: array<vec4f, PARTS_LENGTH>;
var<workgroup> scores: array<vec4f, PAGE_TOKENS>;

fn rotate_queries(page: vec4u, kv_head: u32, first: u32, distance: u32, id: u32) {
  for (var item = id; item < GROUP * HALF4; item += WORKGROUP) {
    let g = item / HALF4;
    let i = item % HALF4;
    let query = first + g * QUERY_STRIDE + i;
    let a = qkv[query] * SCALE;
    let b = qkv[query + HALF4] * SCALE;
    let cosine = rope[distance * HEAD_DIM4 + i];
    let sine = rope[distance * HEAD_DIM4 + HALF4 + i];
    var x = a * cosine - b * sine;
    var y = a * sine + b * cosine;
    if (is_coded(page)) {
      let head = coded_head(page, kv_head);
      let range_x = key_range(head, i & ~1u, i & 1u);
      let range_y = key_range(head, i | 1u, i & 1u);
      raises[item] = dot(x, range_x.minimum) + dot(y, range_y.minimum);
      x *= range_x.scale;
      y *= range_y.scale;
    }
    queries[g * HEAD_DIM4 + i] = x;
    queries[g * HEAD_DIM4 + HALF4 + i] = y;
  }
}

// Queries are read again for each key: in registers there would be too many of them.
fn score_half(page: vec4u, kv_head: u32, keys: u32, id: u32) {
  let lane = id % LANES;
#for s in STEPS
  let i#s = #s * 2u * LANES + lane;
  for (var j = id / LANES; j < keys; j += ABREAST) {
    let key = half_key_at(page, kv_head, j) + i#s;
    let a = half4(kv[key]);
    let b = half4(kv[key + LANES]);
    var part = vec4f();
#for g in GROUP
    part[#g] += dot(queries[#g * HEAD_DIM4 + i#s], a) + dot(queries[#g * HEAD_DIM4 + i#s + LANES], b);
#end
    if (#s > 0) { part += parts[lane * PARTS + j]; }
    parts[lane * PARTS + j] = part;
  }
#end
}

fn score_codes(page: vec4u, kv_head: u32, keys: u32, id: u32) {
  let lane = id % LANES;
  let head = coded_head(page, kv_head);
#for s in STEPS
  let x#s = #s * LANES + lane;
  let i#s = (x#s & ~1u) + (x#s & 1u) * HALF4;
  var raise#s = vec4f();
#for g in GROUP
  raise#s[#g] = raises[#g * HALF4 + x#s];
#end
  for (var j = id / LANES; j < keys; j += ABREAST) {
    let a = key_codes(head, j, x#s, 0u);
    let b = key_codes(head, j, x#s, 1u);
    var part = raise#s;
    if (#s > 0) { part += parts[lane * PARTS + j]; }
#for g in GROUP
    part[#g] += dot(queries[#g * HEAD_DIM4 + i#s], a) + dot(queries[#g * HEAD_DIM4 + i#s + 1u], b);
#end
    parts[lane * PARTS + j] = part;
  }
#end
}

// Leaves in `scores` those of the first `keys` keys; `query`: where in qkv the first head stands. Nothing of what it uses may be
// read any more when it is called.
fn score_page(page: vec4u, kv_head: u32, query: u32, distance: u32, keys: u32, id: u32) {
  rotate_queries(page, kv_head, query, distance, id);
  workgroupBarrier();
  if (id < ABREAST * LANES) {
    if (is_coded(page)) {
      score_codes(page, kv_head, keys, id);
    } else {
      score_half(page, kv_head, keys, id);
    }
  }
  workgroupBarrier();
  for (var j = id; j < keys; j += WORKGROUP) {
    var score = vec4f(raise_by(page, kv_head, j));
    for (var lane = 0u; lane < LANES; lane++) { score += parts[lane * PARTS + j]; }
    scores[j] = score;
  }
  workgroupBarrier();
}
