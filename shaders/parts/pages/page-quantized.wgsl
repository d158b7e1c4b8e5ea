// Quantized pages; layout in src/kernels/formats/page-forms.ts. A key is code · scale + minimum with a range a channel: the
// channels' scales go into the query, and the minima give one number a page. A value has a scale a token, which goes into
// its weight; what its codes count from gives one number for all components. Scales and minima are codes too.
// needs: page-attention, page-layout
// By way of signed numbers, which processors that run shaders turn into floats faster.
fn bytes(word: u32) -> vec4f {
  return vec4f(vec4i((vec4u(word) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(255u)));
}

fn quad_of(words: vec4u) -> Quad { return Quad(bytes(words.x), bytes(words.y), bytes(words.z), bytes(words.w)); }

fn quad_sum(q: Quad) -> f32 { return dot(q.a + q.b + q.c + q.d, vec4f(1.0)); }

fn product(a: Quad, b: Quad) -> Quad { return Quad(a.a * b.a, a.b * b.b, a.c * b.c, a.d * b.d); }

// Which pair of vectors is in the slot s of a head of keys that is ordered, or s where `order` is none.
const NO_ORDER = 0u;
fn pair_in(order: u32, s: u32) -> u32 {
  if (order == NO_ORDER) { return s; }
  return order_at(order, s) & 255u;
}

// Multiplies the queries by the codes of their channels' scales. Returns, of each head, the query times the minima.
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

// Sixteen codes of a row.
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

// `bits` are the same wherever it is called from, so that what other forms take is not compiled in.
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

// `base`: of the head; `scales`: of its values.
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
