#part page-scores
// Scores of a page's keys for GROUP heads of a query that share them. A team of a workgroup's invocations has one page:
// LANES of them share a key, and each sums its part for all heads.
// needs: half4, page-layout, page-units, score-scale
const SHARED = NUM_HEADS / NUM_KV_HEADS;
const TEAM = WORKGROUP / TEAMS;
// Keys that a team scores at once.
const ABREAST = TEAM / LANES;
// One more than a page's tokens, so that a key's parts lie in different banks.
const PARTS = PAGE_TOKENS + 1u;
const NO_SCORE = -1e30;

// One set for each team. Queries are rotated by their distance from the page's base; for quantized keys they are in the keys'
// order and multiplied by the channels' scales.
var<workgroup> queries: array<vec4f, TEAMS * GROUP * HEAD_DIM4>;
// Products with the channels' minima, of each head's pairs of vectors.
var<workgroup> raises: array<f32, TEAMS * GROUP * HALF4>;
// One component for each head.
var<workgroup> parts: array<vec4f, TEAMS * PARTS_LENGTH>;
var<workgroup> scores: array<vec4f, TEAMS * PAGE_TOKENS>;
// The first key that a team scores, and the one after the last; in registers they would be too many. Then those that it has
// scored, until the next page's scores.
var<workgroup> ranges: array<vec2u, TEAMS>;
var<workgroup> scored: array<vec2u, TEAMS>;

fn rotate_queries(page: vec4u, kv_head: u32, first: u32, distance: u32, id: u32) {
  let team = id / TEAM;
  for (var item = id % TEAM; item < GROUP * HALF4; item += TEAM) {
    let g = item / HALF4;
    let i = item % HALF4;
    var pair = i;
    if (is_coded(page)) { pair = pair_in(coded_head(page, kv_head), i); }
    let query = first + g * QUERY_STRIDE + pair;
    let scale = score_scale(page.z + distance, pair);
    let a = qkv[query] * scale;
    let b = qkv[query + HALF4] * scale;
    let cosine = rope[distance * HEAD_DIM4 + pair];
    let sine = rope[distance * HEAD_DIM4 + HALF4 + pair];
    var x = a * cosine - b * sine;
    var y = a * sine + b * cosine;
    if (is_coded(page)) {
      let head = coded_head(page, kv_head);
      let range_x = key_range(head, i & ~1u, i & 1u);
      let range_y = key_range(head, i | 1u, i & 1u);
      raises[team * GROUP * HALF4 + item] = dot(x, range_x.minimum) + dot(y, range_y.minimum);
      x *= range_x.scale;
      y *= range_y.scale;
    }
    queries[(team * GROUP + g) * HEAD_DIM4 + i] = x;
    queries[(team * GROUP + g) * HEAD_DIM4 + HALF4 + i] = y;
  }
}

// Reads queries again for each key, LANES pairs of vectors at a time: all of them would not fit in registers.
fn score_half(page: vec4u, kv_head: u32, id: u32) {
  let team = id / TEAM;
  let lane = id % TEAM % LANES;
#for s in STEPS
  let i#s = #su * 2u * LANES + lane;
  for (var j = ranges[team].x + id % TEAM / LANES; j < ranges[team].y; j += ABREAST) {
    let key = half_key_at(page, kv_head, j) + i#s;
    let a = half4(kv[key]);
    let b = half4(kv[key + LANES]);
    var part = vec4f();
#for g in GROUP
    let query#g = (team * GROUP + #gu) * HEAD_DIM4 + i#s;
    part[#g] += dot(queries[query#g], a) + dot(queries[query#g + LANES], b);
#end
    let at = team * PARTS_LENGTH + lane * PARTS + j;
    if (#s > 0) { part += parts[at]; }
    parts[at] = part;
  }
#end
}

// Reads one vector of quants at a time, with a pass over the keys for each step, as above.
fn score_codes(page: vec4u, kv_head: u32, id: u32) {
  let team = id / TEAM;
  let lane = id % TEAM % LANES;
  let head = coded_head(page, kv_head);
  var raise = vec4f();
#for s in STEPS
#for g in GROUP
  raise[#g] += raises[(team * GROUP + #gu) * HALF4 + #su * LANES + lane];
#end
#end
#for s in STEPS
  let x#s = #su * LANES + lane;
  let query#s = team * GROUP * HEAD_DIM4 + (x#s & ~1u) + (x#s & 1u) * HALF4;
  for (var j = ranges[team].x + id % TEAM / LANES; j < ranges[team].y; j += ABREAST) {
    let words = key_words(head, j, x#s);
    let at = team * PARTS_LENGTH + lane * PARTS + j;
    var part = raise;
    if (#s > 0) { part = parts[at]; }
#for g in GROUP
    part[#g] += dot(queries[query#s + #gu * HEAD_DIM4], bytes_of(words.x));
#end
#for g in GROUP
    part[#g] += dot(queries[query#s + #gu * HEAD_DIM4 + 1u], bytes_of(words.y));
#end
    parts[at] = part;
  }
#end
}

// Writes a team's `scored` range and `scores`: those of its page's keys from `first` up to `keys`, and NO_SCORE for the others. `query`: index of
// the first head in qkv. All teams call it together, after the last read of the memory that it uses.
fn score_page(page: vec4u, kv_head: u32, query: u32, distance: u32, first: u32, keys: u32, id: u32) {
  if (id % TEAM == 0u) { ranges[id / TEAM] = vec2u(first, keys); }
  rotate_queries(page, kv_head, query, distance, id);
  workgroupBarrier();
  if (id % TEAM < ABREAST * LANES) {
    if (is_coded(page)) {
      score_codes(page, kv_head, id);
    } else {
      score_half(page, kv_head, id);
    }
  }
  workgroupBarrier();
  let team = id / TEAM;
  if (id % TEAM == 0u) { scored[team] = ranges[team]; }
  for (var j = id % TEAM; j < PAGE_TOKENS; j += TEAM) {
    var score = vec4f(NO_SCORE);
    if (j >= ranges[team].x && j < ranges[team].y) {
      score = vec4f();
      for (var lane = 0u; lane < LANES; lane++) { score += parts[team * PARTS_LENGTH + lane * PARTS + j]; }
    }
    scores[team * PAGE_TOKENS + j] = score;
  }
  workgroupBarrier();
}

// The larger of `than` and the largest score of a team's keys. Those of the page's other keys are NO_SCORE.
fn largest_score(team: u32, than: vec4f) -> vec4f {
  var largest = than;
  let range = scored[team];
  for (var j = team * PAGE_TOKENS + (range.x & ~3u); j < team * PAGE_TOKENS + range.y; j += 4u) {
    largest = max(max(largest, scores[j]), scores[j + 1u]);
    largest = max(max(largest, scores[j + 2u]), scores[j + 3u]);
  }
  return largest;
}
