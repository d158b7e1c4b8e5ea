// Quantised pages; layout in src/kernels/page-forms.ts. A key is code · scale + minimum with a range a channel: the
// channels' scales go into the query, and the minima give one number a page. A value has a range a token: the scale goes
// into its weight, and the minima give one number for all components. Ranges are codes too.
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

fn bytes(word: u32) -> vec4f {
  return vec4f((vec4u(word) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(255u));
}

fn quad_dot(q: Quad, low: vec2u, high: vec2u) -> f32 {
  return dot(q.a, bytes(low.x)) + dot(q.b, bytes(low.y)) + dot(q.c, bytes(high.x)) + dot(q.d, bytes(high.y));
}

fn quad_sum(q: Quad) -> f32 { return dot(q.a + q.b + q.c + q.d, vec4f(1.0)); }

// Times the codes of the channels' scales.
fn key_scaled(q: Quad, range: u32) -> Quad {
  let low = kv[range];
  let high = kv[range + 1u];
  return Quad(q.a * bytes(low.x), q.b * bytes(low.y), q.c * bytes(high.x), q.d * bytes(high.y));
}

fn in_steps(scores: ptr<function, array<f32, PAGE_TOKENS>>, base: u32, minima: vec2f, keys: u32) {
  let steps = steps_at(base);
  let minimum = minima.x * steps.minimum + minima.y * steps.lowest;
  for (var j = 0u; j < keys; j++) { scores[j] = scores[j] * steps.scale + minimum; }
}

fn score_q8(scores: ptr<function, array<f32, PAGE_TOKENS>>, base: u32, query: Query, keys: u32) {
  // Of the query times the codes of minima, and of the query.
  var minima = vec2f();
  for (var i = 0u; i < HALF4; i += 2u) {
    let range = base + KEY_RANGES + 2u * i;
    let plain = rotated(query, i);
    let q = key_scaled(plain, range);
    minima += vec2f(quad_dot(plain, kv[range + 2u], kv[range + 3u]), quad_sum(plain));
    for (var j = 0u; j < keys; j++) {
      let code = base + KEY_CODES + j * Q8_ROW + i;
      scores[j] += quad_dot(q, kv[code], kv[code + 1u]);
    }
  }
  in_steps(scores, base, minima, keys);
}

fn score_q4(scores: ptr<function, array<f32, PAGE_TOKENS>>, base: u32, query: Query, keys: u32) {
  // Of the query times the codes of minima, and of the query.
  var minima = vec2f();
  for (var i = 0u; i < HALF4; i += 2u) {
    let range = base + KEY_RANGES + 2u * i;
    let plain = rotated(query, i);
    let q = key_scaled(plain, range);
    minima += vec2f(quad_dot(plain, kv[range + 2u], kv[range + 3u]), quad_sum(plain));
    for (var j = 0u; j < keys; j++) {
      let code = kv[base + KEY_CODES + j * Q4_ROW + i / 2u];
      let low = vec2u(code.x, code.x >> 4u) & vec2u(NIBBLES);
      scores[j] += quad_dot(q, low, vec2u(code.y, code.y >> 4u) & vec2u(NIBBLES));
    }
  }
  in_steps(scores, base, minima, keys);
}

// Scale and minimum of a token's value. `steps`: of the values.
fn value_range(steps: Steps, ranges: u32, j: u32) -> vec2f {
  let unit = kv[ranges + j / 4u];
  let range = select(unit.x, unit.y, (j & 2u) == 2u) >> (16u * (j & 1u));
  return vec2f(f32(range & 255u) * steps.scale, f32((range >> 8u) & 255u) * steps.minimum + steps.lowest);
}

// Multiplies each weight by its value's scale; returns the sum of weights times minima.
fn weigh(scores: ptr<function, array<f32, PAGE_TOKENS>>, steps: Steps, ranges: u32, keys: u32) -> f32 {
  var minima = 0.0;
  for (var j = 0u; j < keys; j++) {
    let range = value_range(steps, ranges, j);
    minima += scores[j] * range.y;
    scores[j] *= range.x;
  }
  return minima;
}

fn add_q8(output: ptr<function, array<vec4f, HEAD_DIM4>>, scores: ptr<function, array<f32, PAGE_TOKENS>>, base: u32, keys: u32, shrink: f32) {
  let ranges = base + KEY_CODES + PAGE_TOKENS * Q8_ROW;
  let minima = weigh(scores, steps_at(base + 1u), ranges, keys);
  let codes = ranges + VALUE_RANGES;
  for (var i = 0u; i < HEAD_DIM4; i += 4u) {
    var o0 = output[i] * shrink + minima;
    var o1 = output[i + 1u] * shrink + minima;
    var o2 = output[i + 2u] * shrink + minima;
    var o3 = output[i + 3u] * shrink + minima;
    for (var j = 0u; j < keys; j++) {
      let code = codes + j * Q8_ROW + i / 2u;
      let low = kv[code];
      let high = kv[code + 1u];
      let p = scores[j];
      o0 += p * bytes(low.x);
      o1 += p * bytes(low.y);
      o2 += p * bytes(high.x);
      o3 += p * bytes(high.y);
    }
    output[i] = o0;
    output[i + 1u] = o1;
    output[i + 2u] = o2;
    output[i + 3u] = o3;
  }
}

fn add_q4(output: ptr<function, array<vec4f, HEAD_DIM4>>, scores: ptr<function, array<f32, PAGE_TOKENS>>, base: u32, keys: u32, shrink: f32) {
  let ranges = base + KEY_CODES + PAGE_TOKENS * Q4_ROW;
  let minima = weigh(scores, steps_at(base + 1u), ranges, keys);
  let codes = ranges + VALUE_RANGES;
  for (var i = 0u; i < HEAD_DIM4; i += 4u) {
    var o0 = output[i] * shrink + minima;
    var o1 = output[i + 1u] * shrink + minima;
    var o2 = output[i + 2u] * shrink + minima;
    var o3 = output[i + 3u] * shrink + minima;
    for (var j = 0u; j < keys; j++) {
      let code = kv[codes + j * Q4_ROW + i / 4u];
      let p = scores[j];
      o0 += p * bytes(code.x & NIBBLES);
      o1 += p * bytes((code.x >> 4u) & NIBBLES);
      o2 += p * bytes(code.y & NIBBLES);
      o3 += p * bytes((code.y >> 4u) & NIBBLES);
    }
    output[i] = o0;
    output[i + 1u] = o1;
    output[i + 2u] = o2;
    output[i + 3u] = o3;
  }
}

fn add_q2(output: ptr<function, array<vec4f, HEAD_DIM4>>, scores: ptr<function, array<f32, PAGE_TOKENS>>, base: u32, keys: u32, shrink: f32) {
  let ranges = base + KEY_CODES + PAGE_TOKENS * Q4_ROW;
  let minima = weigh(scores, steps_at(base + 1u), ranges, keys);
  let codes = ranges + VALUE_RANGES;
  for (var i = 0u; i < HEAD_DIM4; i += 4u) {
    var o0 = output[i] * shrink + minima;
    var o1 = output[i + 1u] * shrink + minima;
    var o2 = output[i + 2u] * shrink + minima;
    var o3 = output[i + 3u] * shrink + minima;
    for (var j = 0u; j < keys; j++) {
      let unit = kv[codes + j * Q2_ROW + i / 8u];
      let code = select(unit.x, unit.y, (i & 4u) == 4u);
      let p = scores[j];
      o0 += p * bytes(code & CRUMBS);
      o1 += p * bytes((code >> 2u) & CRUMBS);
      o2 += p * bytes((code >> 4u) & CRUMBS);
      o3 += p * bytes((code >> 6u) & CRUMBS);
    }
    output[i] = o0;
    output[i + 1u] = o1;
    output[i + 2u] = o2;
    output[i + 3u] = o3;
  }
}
