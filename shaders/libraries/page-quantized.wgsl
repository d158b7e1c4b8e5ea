// Quantised pages; layout in src/kernels/page-forms.ts. A key is codes · scale + minimum with a range a channel: the scale
// goes into the query, and the minima give one number a page. A value has a range a token: the scale goes into its
// weight, and the minima give one number for all components.
const NIBBLES = 0x0f0f0f0fu;
const KEY_CODES = 2u * HEAD_DIM4;
const VALUE_RANGES_UNITS = PAGE_TOKENS / 2u;

fn bytes(word: u32) -> vec4f {
  return vec4f((vec4u(word) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(255u));
}

fn key_scaled(q: Quad, range: u32) -> Quad {
  return Quad(q.a * half4(kv[range]), q.b * half4(kv[range + 1u]), q.c * half4(kv[range + 2u]), q.d * half4(kv[range + 3u]));
}

fn key_minima(q: Quad, range: u32) -> f32 {
  return dot(q.a, half4(kv[range + 4u])) + dot(q.b, half4(kv[range + 5u]))
    + dot(q.c, half4(kv[range + 6u])) + dot(q.d, half4(kv[range + 7u]));
}

fn score_q8(scores: ptr<function, array<f32, PAGE_TOKENS>>, base: u32, query: Query, keys: u32) {
  var minima = 0.0;
  for (var i = 0u; i < HALF4; i += 2u) {
    let range = base + i * 4u;
    let plain = rotated(query, i);
    let q = key_scaled(plain, range);
    minima += key_minima(plain, range);
    for (var j = 0u; j < keys; j++) {
      let code = base + KEY_CODES + j * HALF4 + i;
      let low = kv[code];
      let high = kv[code + 1u];
      scores[j] += dot(q.a, bytes(low.x)) + dot(q.b, bytes(low.y)) + dot(q.c, bytes(high.x)) + dot(q.d, bytes(high.y));
    }
  }
  for (var j = 0u; j < keys; j++) { scores[j] += minima; }
}

fn score_q4(scores: ptr<function, array<f32, PAGE_TOKENS>>, base: u32, query: Query, keys: u32) {
  var minima = 0.0;
  for (var i = 0u; i < HALF4; i += 2u) {
    let range = base + i * 4u;
    let plain = rotated(query, i);
    let q = key_scaled(plain, range);
    minima += key_minima(plain, range);
    for (var j = 0u; j < keys; j++) {
      let code = kv[base + KEY_CODES + j * (HEAD_DIM4 / 4u) + i / 2u];
      scores[j] += dot(q.a, bytes(code.x & NIBBLES)) + dot(q.b, bytes((code.x >> 4u) & NIBBLES))
        + dot(q.c, bytes(code.y & NIBBLES)) + dot(q.d, bytes((code.y >> 4u) & NIBBLES));
    }
  }
  for (var j = 0u; j < keys; j++) { scores[j] += minima; }
}

// Multiplies each weight by its value's scale; returns the sum of weights times minima.
fn weigh(scores: ptr<function, array<f32, PAGE_TOKENS>>, ranges: u32, keys: u32) -> f32 {
  var minima = 0.0;
  for (var j = 0u; j < keys; j++) {
    let pair = kv[ranges + j / 2u];
    let range = unpack2x16float(select(pair.x, pair.y, (j & 1u) == 1u));
    minima += scores[j] * range.y;
    scores[j] *= range.x;
  }
  return minima;
}

fn add_q8(output: ptr<function, array<vec4f, HEAD_DIM4>>, scores: ptr<function, array<f32, PAGE_TOKENS>>, ranges: u32, keys: u32, shrink: f32) {
  let minima = weigh(scores, ranges, keys);
  let codes = ranges + VALUE_RANGES_UNITS;
  for (var i = 0u; i < HEAD_DIM4; i += 4u) {
    var o0 = output[i] * shrink + minima;
    var o1 = output[i + 1u] * shrink + minima;
    var o2 = output[i + 2u] * shrink + minima;
    var o3 = output[i + 3u] * shrink + minima;
    for (var j = 0u; j < keys; j++) {
      let code = codes + j * HALF4 + i / 2u;
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

fn add_q4(output: ptr<function, array<vec4f, HEAD_DIM4>>, scores: ptr<function, array<f32, PAGE_TOKENS>>, ranges: u32, keys: u32, shrink: f32) {
  let minima = weigh(scores, ranges, keys);
  let codes = ranges + VALUE_RANGES_UNITS;
  for (var i = 0u; i < HEAD_DIM4; i += 4u) {
    var o0 = output[i] * shrink + minima;
    var o1 = output[i + 1u] * shrink + minima;
    var o2 = output[i + 2u] * shrink + minima;
    var o3 = output[i + 3u] * shrink + minima;
    for (var j = 0u; j < keys; j++) {
      let code = kv[codes + j * (HEAD_DIM4 / 4u) + i / 4u];
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
