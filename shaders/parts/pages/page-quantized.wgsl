// Quantized pages; layout in src/kernels/formats/page-forms.ts. A key is code · scale + minimum with a range a channel: the
// channels' scales go into the query, and the minima give one number a page. A value has a range a token: the scale goes
// into its weight, and the minima give one number for all components. Ranges are codes too.
// needs: half4, page-attention, page-layout
const NIBBLES = 0x0f0f0f0fu;
const CRUMBS = 0x03030303u;
const Q8_ROW = HALF4;
const Q4_ROW = HEAD_DIM4 / 4u;
const Q2_ROW = (HEAD_DIM4 + 7u) / 8u;
const Q8_HEAD = KEY_CODES + VALUE_RANGES + 2u * PAGE_TOKENS * Q8_ROW;
const Q4_HEAD = KEY_CODES + VALUE_RANGES + 2u * PAGE_TOKENS * Q4_ROW;
const K4V2_HEAD = KEY_CODES + VALUE_RANGES + PAGE_TOKENS * (Q4_ROW + Q2_ROW);

fn steps_at(unit: u32) -> Steps {
  let steps = half4(kv[unit]);
  return Steps(steps.x / 255.0, steps.y / 255.0, steps.z);
}

// By way of signed numbers, which processors that run shaders turn into floats faster.
fn bytes(word: u32) -> vec4f {
  return vec4f(vec4i((vec4u(word) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(255u)));
}

fn quad_of(low: vec2u, high: vec2u) -> Quad { return Quad(bytes(low.x), bytes(low.y), bytes(high.x), bytes(high.y)); }

fn quad_sum(q: Quad) -> f32 { return dot(q.a + q.b + q.c + q.d, vec4f(1.0)); }

// Multiplies the queries by the codes of their channels' scales. Returns, of each head, the query times the minima.
fn scale_queries(base: u32, queries: ptr<function, Queries>) -> vec4f {
  let steps = steps_at(base);
  var minima = vec4f();
  var sums = vec4f();
#for n in QUADS
  let range#n = base + KEY_RANGES + 4u * #n;
  let scale#n = quad_of(kv[range#n], kv[range#n + 1u]);
  let minimum#n = quad_of(kv[range#n + 2u], kv[range#n + 3u]);
#for g in GROUP
  minima[#g] += inner(queries.q#g_#n, minimum#n);
  sums[#g] += quad_sum(queries.q#g_#n);
  queries.q#g_#n = product(queries.q#g_#n, scale#n);
#end
#end
  return minima * steps.minimum + sums * steps.lowest;
}

fn product(a: Quad, b: Quad) -> Quad { return Quad(a.a * b.a, a.b * b.b, a.c * b.c, a.d * b.d); }

fn lift(heads: ptr<function, Heads>, by: vec4f) {
#for g in GROUP
  heads.lift#g += by[#g];
#end
}

// Scale and minimum of a token's value. `steps`: of the values.
fn value_range(steps: Steps, ranges: u32, j: u32) -> vec2f {
  let unit = kv[ranges + j / 4u];
  let range = select(unit.x, unit.y, (j & 2u) == 2u) >> (16u * (j & 1u));
  return vec2f(f32(range & 255u) * steps.scale, f32((range >> 8u) & 255u) * steps.minimum + steps.lowest);
}

fn q8_quad(at: u32) -> Quad { return quad_of(kv[at], kv[at + 1u]); }

fn q4_quad(at: u32) -> Quad {
  let code = kv[at];
  return quad_of(vec2u(code.x, code.x >> 4u) & vec2u(NIBBLES), vec2u(code.y, code.y >> 4u) & vec2u(NIBBLES));
}

// Sixteen codes of two bits are a word, each four of them every fourth pair of its bits.
fn q2_quad(row: u32, n: u32) -> Quad {
  let code = kv[row + n / 2u][n & 1u];
  return quad_of(vec2u(code, code >> 2u) & vec2u(CRUMBS), vec2u(code >> 4u, code >> 6u) & vec2u(CRUMBS));
}

fn score_q8(scores: ptr<function, Scores>, base: u32, queries: ptr<function, Queries>, keys: u32) {
  let minima = scale_queries(base, queries);
  let scale = steps_at(base).scale;
  for (var j = 0u; j < keys; j++) {
    let key = base + KEY_CODES + j * Q8_ROW;
    var score = vec4f();
#for n in QUADS
    let k#n = q8_quad(key + 2u * #n);
#for g in GROUP
    score[#g] += inner(queries.q#g_#n, k#n);
#end
#end
    scores[j] = score * scale + minima;
  }
}

fn score_q4(scores: ptr<function, Scores>, base: u32, queries: ptr<function, Queries>, keys: u32) {
  let minima = scale_queries(base, queries);
  let scale = steps_at(base).scale;
  for (var j = 0u; j < keys; j++) {
    let key = base + KEY_CODES + j * Q4_ROW;
    var score = vec4f();
#for n in QUADS
    let k#n = q4_quad(key + #n);
#for g in GROUP
    score[#g] += inner(queries.q#g_#n, k#n);
#end
#end
    scores[j] = score * scale + minima;
  }
}

fn add_q8(heads: ptr<function, Heads>, scores: ptr<function, Scores>, base: u32, keys: u32) {
  let steps = steps_at(base + 1u);
  let ranges = base + KEY_CODES + PAGE_TOKENS * Q8_ROW;
  for (var j = 0u; j < keys; j++) {
    let value = ranges + VALUE_RANGES + j * Q8_ROW;
    let range = value_range(steps, ranges, j);
    let weights = scores[j] * range.x;
    lift(heads, scores[j] * range.y);
#for n in QUADS
    let v#n = q8_quad(value + 2u * #n);
#for g in GROUP
    heads.o#g_#n = plus(heads.o#g_#n, v#n, weights[#g]);
#end
#end
  }
}

fn add_q4(heads: ptr<function, Heads>, scores: ptr<function, Scores>, base: u32, keys: u32) {
  let steps = steps_at(base + 1u);
  let ranges = base + KEY_CODES + PAGE_TOKENS * Q4_ROW;
  for (var j = 0u; j < keys; j++) {
    let value = ranges + VALUE_RANGES + j * Q4_ROW;
    let range = value_range(steps, ranges, j);
    let weights = scores[j] * range.x;
    lift(heads, scores[j] * range.y);
#for n in QUADS
    let v#n = q4_quad(value + #n);
#for g in GROUP
    heads.o#g_#n = plus(heads.o#g_#n, v#n, weights[#g]);
#end
#end
  }
}

fn add_q2(heads: ptr<function, Heads>, scores: ptr<function, Scores>, base: u32, keys: u32) {
  let steps = steps_at(base + 1u);
  let ranges = base + KEY_CODES + PAGE_TOKENS * Q4_ROW;
  for (var j = 0u; j < keys; j++) {
    let value = ranges + VALUE_RANGES + j * Q2_ROW;
    let range = value_range(steps, ranges, j);
    let weights = scores[j] * range.x;
    lift(heads, scores[j] * range.y);
#for n in QUADS
    let v#n = q2_quad(value, #n);
#for g in GROUP
    heads.o#g_#n = plus(heads.o#g_#n, v#n, weights[#g]);
#end
#end
  }
}
