#part page-attention
// Adds one page to the attention of GROUP heads of a query, which share keys and values, by online softmax. The queries,
// consecutive in `qkv`, are rotated by their distance from the page's base. Loops are unrolled and queries and outputs are
// separate variables: arrays would leave the registers.
// needs: page-half, page-layout, page-quantized, score-scale, window

// Index of the first head of a query in qkv, the query's position, and its distance from the page's base.
struct Query { start: u32, position: u32, distance: u32 }

// Sixteen components of a head. Keys and queries: 4 i to 4 i + 7 and those that they rotate with; values: consecutive ones.
struct Quad { a: vec4f, b: vec4f, c: vec4f, d: vec4f }

struct Turn { cosine0: vec4f, cosine1: vec4f, sine0: vec4f, sine1: vec4f }

// Rotation of the pairs of vectors p and q of a query.
fn turn_of(position: u32, distance: u32, p: u32, q: u32) -> Turn {
  let angle = distance * HEAD_DIM4;
  let by_p = score_scale(position, p);
  let by_q = score_scale(position, q);
  return Turn(rope[angle + p] * by_p, rope[angle + q] * by_q, rope[angle + HALF4 + p] * by_p, rope[angle + HALF4 + q] * by_q);
}

fn turned(start: u32, turn: Turn, p: u32, q: u32) -> Quad {
  let a0 = qkv[start + p];
  let a1 = qkv[start + q];
  let b0 = qkv[start + HALF4 + p];
  let b1 = qkv[start + HALF4 + q];
  return Quad(
    a0 * turn.cosine0 - b0 * turn.sine0, a1 * turn.cosine1 - b1 * turn.sine1,
    a0 * turn.sine0 + b0 * turn.cosine0, a1 * turn.sine1 + b1 * turn.cosine1,
  );
}

fn inner(a: Quad, b: Quad) -> f32 { return dot(a.a, b.a) + dot(a.b, b.b) + dot(a.c, b.c) + dot(a.d, b.d); }

fn plus(a: Quad, b: Quad, weight: f32) -> Quad {
  return Quad(a.a + weight * b.a, a.b + weight * b.b, a.c + weight * b.c, a.d + weight * b.d);
}

fn times(a: Quad, factor: f32) -> Quad { return Quad(a.a * factor, a.b * factor, a.c * factor, a.d * factor); }

struct Queries {
#for g in GROUP
#for n in QUADS
  q#g_#n: Quad,
#end
#end
}

// Queries with their pairs of vectors in the keys' `order`.
fn rotated_queries(query: Query, order: u32) -> Queries {
  var queries: Queries;
#for n in QUADS
  let p#n = pair_in(order, 2u * #nu);
  let q#n = pair_in(order, 2u * #nu + 1u);
  let turn#n = turn_of(query.position, query.distance, p#n, q#n);
#for g in GROUP
  queries.q#g_#n = turned(query.start + #g * HEAD_DIM4, turn#n, p#n, q#n);
#end
#end
  return queries;
}

// For each head: the largest score so far, the sum of e^(score − largest), the sum of the values times these weights, and a
// term that is still to be added to all components of that sum.
struct Heads {
#for g in GROUP
  maximum#g: f32,
  sum#g: f32,
  lift#g: f32,
#for n in QUADS
  o#g_#n: Quad,
#end
#end
}

fn no_page() -> Heads {
  var heads: Heads;
#for g in GROUP
  heads.maximum#g = -1e30;
#end
  return heads;
}

// For each key of a page the score of each head, later its weight.
alias Scores = array<vec4f, PAGE_TOKENS>;

// Turns scores into weights, and rescales the sums so far.
fn weigh(scores: ptr<function, Scores>, keys: u32, heads: ptr<function, Heads>) {
  var maxima = vec4f(-1e30);
#for g in GROUP
  maxima[#g] = heads.maximum#g;
#end
  for (var j = 0u; j < keys; j++) { maxima = max(maxima, scores[j]); }
#for g in GROUP
  let shrink#g = exp(heads.maximum#g - maxima[#g]);
  heads.maximum#g = maxima[#g];
  heads.lift#g *= shrink#g;
#for n in QUADS
  heads.o#g_#n = times(heads.o#g_#n, shrink#g);
#end
#end
  var sums = vec4f();
  for (var j = 0u; j < keys; j++) {
    let weights = exp(scores[j] - maxima);
    scores[j] = weights;
    sums += weights;
  }
#for g in GROUP
  heads.sum#g = heads.sum#g * shrink#g + sums[#g];
#end
}

fn attend_page(page: vec4u, kv_head: u32, start: u32, position: u32, heads: ptr<function, Heads>) {
  let form = page.y & 255u;
  let key_bits = key_bits_of(form);
  let value_bits = value_bits_of(form);
  let base = page.x + kv_head * head_units(key_bits, value_bits);
  let in_order = !ALL_F16 && is_quantized(form) && is_ordered(key_bits);
  let query = Query(start, position, position - page.z);
  let keys = min(page.y >> 8u, query.distance + 1u);
  var scores: Scores;
  var queries = rotated_queries(query, select(NO_ORDER, base + KEY_ORDER, in_order));
  if (ALL_F16 || !is_quantized(form)) {
    score_half(&scores, page, kv_head, &queries, keys);
  } else if (key_bits == 8u) {
    score_codes(8u, &scores, base, &queries, keys);
  } else if (key_bits == 4u) {
    score_codes(4u, &scores, base, &queries, keys);
  } else {
    score_codes(3u, &scores, base, &queries, keys);
  }
  for (var j = 0u; j < first_key_of(position, page.z); j++) { scores[j] = vec4f(-1e38); }
  weigh(&scores, keys, heads);
  let scales = base + value_scales_of(key_bits);
  if (ALL_F16 || !is_quantized(form)) {
    add_half(heads, &scores, page, kv_head, keys);
  } else if (value_bits == 8u) {
    add_codes(8u, heads, &scores, base, scales, keys);
  } else if (value_bits == 4u) {
    add_codes(4u, heads, &scores, base, scales, keys);
  } else if (value_bits == 3u) {
    add_codes(3u, heads, &scores, base, scales, keys);
  } else {
    add_codes(2u, heads, &scores, base, scales, keys);
  }
}

#part page-half
// Pages in f16: keys [NUM_KV_HEADS, entries], then values.
// needs: half4, page-attention, page-layout
fn half_key(at: u32) -> Quad { return Quad(half4(kv[at]), half4(kv[at + 1u]), half4(kv[at + HALF4]), half4(kv[at + HALF4 + 1u])); }

fn half_value(at: u32) -> Quad { return Quad(half4(kv[at]), half4(kv[at + 1u]), half4(kv[at + 2u]), half4(kv[at + 3u])); }

fn score_half(scores: ptr<function, Scores>, page: vec4u, kv_head: u32, queries: ptr<function, Queries>, keys: u32) {
  for (var j = 0u; j < keys; j++) {
    let key = page.x + (kv_head * (page.y >> 8u) + j) * HEAD_DIM4;
    var score = vec4f();
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

#part page-quantized
// Quantized pages; src/kernels/formats/page-forms.ts has the layout. A key is quant · scale + minimum with a range a channel:
// the query is multiplied by the channels' scales, and the minima add one number a page. A value has a scale a token, which
// multiplies its weight; the offset of its quants adds one number to all components. Scales and minima are quantized too.
// needs: page-attention, page-layout
// Through signed integers, which CPUs convert to floats faster.
fn bytes(word: u32) -> vec4f {
  return vec4f(vec4i((vec4u(word) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(255u)));
}

fn quad_of(words: vec4u) -> Quad { return Quad(bytes(words.x), bytes(words.y), bytes(words.z), bytes(words.w)); }

fn quad_sum(q: Quad) -> f32 { return dot(q.a + q.b + q.c + q.d, vec4f(1.0)); }

fn product(a: Quad, b: Quad) -> Quad { return Quad(a.a * b.a, a.b * b.b, a.c * b.c, a.d * b.d); }

// The pair of vectors at the place s of a head's keys, or s if the keys have no order.
const NO_ORDER = 0u;
fn pair_in(order: u32, s: u32) -> u32 {
  if (order == NO_ORDER) { return s; }
  return order_at(order, s) & 255u;
}

// Multiplies the queries by the quants of their channels' scales. Returns each head's product of query and minima.
fn scale_queries(base: u32, queries: ptr<function, Queries>) -> vec4f {
  let steps = steps_at(base);
  var minima = vec4f();
  var sums = vec4f();
#for n in QUADS
  let range#n = base + KEY_RANGES + 4u * #n;
  let scale#n = quad_of(vec4u(kv[range#n], kv[range#n + 1u]));
  let minimum#n = quad_of(vec4u(kv[range#n + 2u], kv[range#n + 3u]));
#for g in GROUP
  minima[#g] += inner(queries.q#g_#n, minimum#n);
  sums[#g] += quad_sum(queries.q#g_#n);
  queries.q#g_#n = product(queries.q#g_#n, scale#n);
#end
#end
  return minima * steps.minimum + sums * steps.lowest;
}

fn lift(heads: ptr<function, Heads>, by: vec4f) {
#for g in GROUP
  heads.lift#g += by[#g];
#end
}

// Sixteen quants of a row.
fn code_quad(bits: u32, wider: u32, row: u32, n: u32) -> Quad {
  if (bits == 8u) { return quad_of(vec4u(kv[row + 2u * n], kv[row + 2u * n + 1u])); }
  let own = bits_of(bits, wider, n);
  let nibbles = nibble_quads(bits, wider);
  var lower: vec4u;
  if (own >= 4u) {
    let unit = kv[row + n];
    lower = vec4u(unit.x, unit.x >> 4u, unit.y, unit.y >> 4u) & vec4u(NIBBLES);
  } else {
    lower = (vec4u(word_of(row, n + nibbles)) >> vec4u(0u, 2u, 4u, 6u)) & vec4u(CRUMBS);
  }
  if ((own & 1u) == 0u) { return quad_of(lower); }
  let place = odd_place(bits, wider, n);
  let upper = vec4u(word_of(row, nibbles + QUADS + place / 2u)) >> (vec4u(0u, 1u, 2u, 3u) + 4u * (place & 1u));
  return quad_of(lower | ((upper & vec4u(LOWEST_BITS)) << vec4u(own - 1u)));
}

// Callers pass constant `bits`, so that compilers drop the code of other forms.
fn score_codes(bits: u32, scores: ptr<function, Scores>, base: u32, queries: ptr<function, Queries>, keys: u32) {
  let minima = scale_queries(base, queries);
  let scale = steps_at(base).scale;
  let wider = wider_of(bits);
  for (var j = 0u; j < keys; j++) {
    let key = base + key_codes_of(bits) + j * row_of(bits);
    var score = vec4f();
#for n in QUADS
    let k#n = code_quad(bits, wider, key, #nu);
#for g in GROUP
    score[#g] += inner(queries.q#g_#n, k#n);
#end
#end
    scores[j] = score * scale + minima;
  }
}

// `base`: where the head begins; `scales`: where the scales of its values begin.
fn add_codes(bits: u32, heads: ptr<function, Heads>, scores: ptr<function, Scores>, base: u32, scales: u32, keys: u32) {
  let scale = steps_at(base + 1u).scale;
  let middle = f32((1u << bits) - 1u) * 0.5;
  for (var j = 0u; j < keys; j++) {
    let value = scales + VALUE_SCALES + j * row_of(bits);
    let code = (word_of(scales, j / 4u) >> (8u * (j & 3u))) & 255u;
    let weights = scores[j] * (f32(code) * scale);
    lift(heads, weights * -middle);
#for n in QUADS
    let v#n = code_quad(bits, 0u, value, #nu);
#for g in GROUP
    heads.o#g_#n = plus(heads.o#g_#n, v#n, weights[#g]);
#end
#end
  }
}
