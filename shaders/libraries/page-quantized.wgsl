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

fn quad_of(low: vec2u, high: vec2u) -> Quad { return Quad(bytes(low.x), bytes(low.y), bytes(high.x), bytes(high.y)); }

fn quad_sum(q: Quad) -> f32 { return dot(q.a + q.b + q.c + q.d, vec4f(1.0)); }

fn times(a: Quad, b: Quad) -> Quad { return Quad(a.a * b.a, a.b * b.b, a.c * b.c, a.d * b.d); }

// Sixteen components of each head's query times the codes of their channels' scales. Adds to `minima` the query times the
// codes of the channels' minima, and the query.
fn scaled_queries(query: Query, i: u32, range: u32, minima: ptr<function, array<vec2f, GROUP>>) -> array<Quad, GROUP> {
  var q: array<Quad, GROUP>;
  let scales = quad_of(kv[range], kv[range + 1u]);
  let lowest = quad_of(kv[range + 2u], kv[range + 3u]);
  for (var g = 0u; g < GROUP; g++) {
    let plain = rotated(of_head(query, g), i);
    q[g] = times(plain, scales);
    minima[g] += vec2f(inner(plain, lowest), quad_sum(plain));
  }
  return q;
}

fn in_steps(scores: ptr<function, array<f32, SCORES>>, base: u32, minima: ptr<function, array<vec2f, GROUP>>, keys: u32) {
  let steps = steps_at(base);
  for (var g = 0u; g < GROUP; g++) {
    let minimum = minima[g].x * steps.minimum + minima[g].y * steps.lowest;
    for (var j = 0u; j < keys; j++) { scores[j * GROUP + g] = scores[j * GROUP + g] * steps.scale + minimum; }
  }
}

fn no_minima(minima: ptr<function, array<vec2f, GROUP>>) {
  for (var g = 0u; g < GROUP; g++) { minima[g] = vec2f(); }
}

fn score_q8(scores: ptr<function, array<f32, SCORES>>, base: u32, query: Query, keys: u32) {
  var minima: array<vec2f, GROUP>;
  no_minima(&minima);
  for (var i = 0u; i < HALF4; i += 2u) {
    var q = scaled_queries(query, i, base + KEY_RANGES + 2u * i, &minima);
    for (var j = 0u; j < keys; j++) {
      let code = base + KEY_CODES + j * Q8_ROW + i;
      let key = quad_of(kv[code], kv[code + 1u]);
      for (var g = 0u; g < GROUP; g++) { scores[j * GROUP + g] += inner(q[g], key); }
    }
  }
  in_steps(scores, base, &minima, keys);
}

fn score_q4(scores: ptr<function, array<f32, SCORES>>, base: u32, query: Query, keys: u32) {
  var minima: array<vec2f, GROUP>;
  no_minima(&minima);
  for (var i = 0u; i < HALF4; i += 2u) {
    var q = scaled_queries(query, i, base + KEY_RANGES + 2u * i, &minima);
    for (var j = 0u; j < keys; j++) {
      let code = kv[base + KEY_CODES + j * Q4_ROW + i / 2u];
      let key = quad_of(vec2u(code.x, code.x >> 4u) & vec2u(NIBBLES), vec2u(code.y, code.y >> 4u) & vec2u(NIBBLES));
      for (var g = 0u; g < GROUP; g++) { scores[j * GROUP + g] += inner(q[g], key); }
    }
  }
  in_steps(scores, base, &minima, keys);
}

// Scale and minimum of a token's value. `steps`: of the values.
fn value_range(steps: Steps, ranges: u32, j: u32) -> vec2f {
  let unit = kv[ranges + j / 4u];
  let range = select(unit.x, unit.y, (j & 2u) == 2u) >> (16u * (j & 1u));
  return vec2f(f32(range & 255u) * steps.scale, f32((range >> 8u) & 255u) * steps.minimum + steps.lowest);
}

// Multiplies each weight by its value's scale; adds the sum of weights times minima to the output so far, shrunk.
fn weigh(output: ptr<function, array<vec4f, OUTPUT4>>, scores: ptr<function, array<f32, SCORES>>, steps: Steps, ranges: u32, keys: u32, softmax: ptr<function, array<Softmax, GROUP>>) {
  for (var g = 0u; g < GROUP; g++) {
    var minima = 0.0;
    for (var j = 0u; j < keys; j++) {
      let range = value_range(steps, ranges, j);
      minima += scores[j * GROUP + g] * range.y;
      scores[j * GROUP + g] *= range.x;
    }
    for (var i = 0u; i < HEAD_DIM4; i++) { output[g * HEAD_DIM4 + i] = output[g * HEAD_DIM4 + i] * softmax[g].shrink + minima; }
    softmax[g].shrink = 1.0;
  }
}

fn add_q8(output: ptr<function, array<vec4f, OUTPUT4>>, scores: ptr<function, array<f32, SCORES>>, base: u32, keys: u32, softmax: ptr<function, array<Softmax, GROUP>>) {
  let ranges = base + KEY_CODES + PAGE_TOKENS * Q8_ROW;
  weigh(output, scores, steps_at(base + 1u), ranges, keys, softmax);
  let codes = ranges + VALUE_RANGES;
  for (var i = 0u; i < HEAD_DIM4; i += 2u) {
    var o = shrunk(output, softmax, i);
    for (var j = 0u; j < keys; j++) {
      let code = kv[codes + j * Q8_ROW + i / 2u];
      let low = bytes(code.x);
      let high = bytes(code.y);
      for (var g = 0u; g < GROUP; g++) {
        o[2u * g] += scores[j * GROUP + g] * low;
        o[2u * g + 1u] += scores[j * GROUP + g] * high;
      }
    }
    keep(output, o, i);
  }
}

fn add_q4(output: ptr<function, array<vec4f, OUTPUT4>>, scores: ptr<function, array<f32, SCORES>>, base: u32, keys: u32, softmax: ptr<function, array<Softmax, GROUP>>) {
  let ranges = base + KEY_CODES + PAGE_TOKENS * Q4_ROW;
  weigh(output, scores, steps_at(base + 1u), ranges, keys, softmax);
  let codes = ranges + VALUE_RANGES;
  for (var i = 0u; i < HEAD_DIM4; i += 2u) {
    var o = shrunk(output, softmax, i);
    for (var j = 0u; j < keys; j++) {
      let code = kv[codes + j * Q4_ROW + i / 4u][(i / 2u) & 1u];
      let low = bytes(code & NIBBLES);
      let high = bytes((code >> 4u) & NIBBLES);
      for (var g = 0u; g < GROUP; g++) {
        o[2u * g] += scores[j * GROUP + g] * low;
        o[2u * g + 1u] += scores[j * GROUP + g] * high;
      }
    }
    keep(output, o, i);
  }
}

fn add_q2(output: ptr<function, array<vec4f, OUTPUT4>>, scores: ptr<function, array<f32, SCORES>>, base: u32, keys: u32, softmax: ptr<function, array<Softmax, GROUP>>) {
  let ranges = base + KEY_CODES + PAGE_TOKENS * Q4_ROW;
  weigh(output, scores, steps_at(base + 1u), ranges, keys, softmax);
  let codes = ranges + VALUE_RANGES;
  for (var i = 0u; i < HEAD_DIM4; i += 2u) {
    var o = shrunk(output, softmax, i);
    for (var j = 0u; j < keys; j++) {
      // Sixteen components are a word, four of them every other bit of its bytes.
      let code = kv[codes + j * Q2_ROW + i / 8u][(i / 4u) & 1u] >> (2u * (i & 2u));
      let low = bytes(code & CRUMBS);
      let high = bytes((code >> 2u) & CRUMBS);
      for (var g = 0u; g < GROUP; g++) {
        o[2u * g] += scores[j * GROUP + g] * low;
        o[2u * g + 1u] += scores[j * GROUP + g] * high;
      }
    }
    keep(output, o, i);
  }
}
