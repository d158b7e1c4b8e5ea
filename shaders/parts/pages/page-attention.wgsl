// One page's part in the attention of GROUP heads of a query, which share their keys and values, by online softmax. The
// queries, one behind another in `qkv`, are rotated by their distance from the page's base. Queries and outputs are in
// variables of their own (loops are written out): arrays would leave the registers.
// needs: page-half, page-layout, page-quantized, score-scale, window

// Where the first head of a query stands in qkv, where in its text, and how far it is from the page's base.
struct Query { start: u32, position: u32, distance: u32 }

// Sixteen components of a head: of keys and queries 4 i to 4 i + 7 and those they rotate with, of values one behind another.
struct Quad { a: vec4f, b: vec4f, c: vec4f, d: vec4f }

struct Turn { cosine0: vec4f, cosine1: vec4f, sine0: vec4f, sine1: vec4f }

// Of the pairs of vectors p and q of a query.
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

// With the pairs of vectors as `order` has the keys'.
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

// Of each head: the largest score so far, the sum of the scores' exponentials from there, the sum of the values times them,
// and what is yet to be added to all components of that sum.
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

// Of each key of a page the score of each head, then the weight.
alias Scores = array<vec4f, PAGE_TOKENS>;

// Makes weights of scores, and room for them in what was summed so far.
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
  let in_order = !HALF_ONLY && is_quantized(form) && is_ordered(key_bits);
  let query = Query(start, position, position - page.z);
  let keys = min(page.y >> 8u, query.distance + 1u);
  var scores: Scores;
  var queries = rotated_queries(query, select(NO_ORDER, base + KEY_ORDER, in_order));
  if (HALF_ONLY || !is_quantized(form)) {
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
  if (HALF_ONLY || !is_quantized(form)) {
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
