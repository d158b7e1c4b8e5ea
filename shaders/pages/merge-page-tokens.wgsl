// Copies an f16 or sparse page to a sparse page with fewer entries, elsewhere in the same buffer. One workgroup a (task,
// key/value head). An entry's mass is the attention that the latest queries give it. The kernel chooses entries to keep one
// after another: each time the one with the largest product of mass and squared distance from the nearest kept key. It merges
// every other entry into the nearest kept one. All keys of a page are rotated from its base, so a mean of keys has the mean of
// their scores. A merged entry has the mean key and value, weighted by mass; a term is added to its score so that the queries
// give it the total mass.
// needs: half4, page-attention, page-half, page-layout
const PROBE4 = 2u * HEAD_DIM4 + 1u;
const QUERY_HEADS = NUM_HEADS / NUM_KV_HEADS;
// Mass of an entry that no query attends to.
const LEAST_MASS = 1e-8;

var<workgroup> masses: array<f32, PAGE_TOKENS>;
// For each entry: the nearest kept entry, and its squared distance.
var<workgroup> owners: array<u32, PAGE_TOKENS>;
var<workgroup> away: array<f32, PAGE_TOKENS>;
var<workgroup> kept: u32;

// The vectors i and i + 1 of a key, and those that they rotate with.
fn key_quad(page: vec4u, kv_head: u32, j: u32, i: u32) -> Quad {
  return half_key(page.x + (kv_head * (page.y >> 8u) + j) * HEAD_DIM4 + i);
}

// Components 4 i to 4 i + 3 of a value.
fn value_at(page: vec4u, kv_head: u32, j: u32, i: u32) -> vec4f {
  return half4(kv[page.x + ((NUM_KV_HEADS + kv_head) * (page.y >> 8u) + j) * HEAD_DIM4 + i]);
}

// The pairs of vectors of a key. Unless it is UNROLLED, a graphics card's compiler must not know the number: it would unroll the
// loop over them, and take all registers. There is at least one query.
fn pairs_of_vectors() -> u32 { return min(HALF4, select(HALF4 * params.queries, HALF4, UNROLLED)); }

// Attention that the latest queries of all heads that share these keys give an entry.
fn mass(page: vec4u, kv_head: u32, j: u32, raised: f32) -> f32 {
  var sum = LEAST_MASS;
  for (var q = 0u; q < params.queries; q++) {
    let position = params.position - q;
    for (var h = 0u; h < QUERY_HEADS; h++) {
      let probe = ((params.slot * PROBES + position % PROBES) * NUM_HEADS + kv_head * QUERY_HEADS + h) * PROBE4;
      let known = qkv[probe + 2u * HEAD_DIM4];
      var score = raised;
      for (var i = 0u; i < pairs_of_vectors(); i += 2u) {
        score += inner(turned(probe, turn_of(position, position - page.z, i, i + 1u), i, i + 1u), key_quad(page, kv_head, j, i));
      }
      sum += exp(score - known.x) / known.y;
    }
  }
  return sum;
}

fn distance_of(page: vec4u, kv_head: u32, a: u32, b: u32) -> f32 {
  var sum = 0.0;
  for (var i = 0u; i < HALF4; i += 2u) {
    let apart = plus(key_quad(page, kv_head, a, i), key_quad(page, kv_head, b, i), -1.0);
    sum += inner(apart, apart);
  }
  return sum;
}

// The entry with the largest product of mass and distance.
fn worst_off(entries: u32) -> u32 {
  var worst = 0u;
  for (var j = 1u; j < entries; j++) {
    if (masses[j] * away[j] > masses[worst] * away[worst]) { worst = j; }
  }
  return worst;
}

// Writes the r-th entry of `copy`; returns the term of its score.
fn merge(page: vec4u, copy: vec4u, kv_head: u32, r: u32) -> f32 {
  let entries = page.y >> 8u;
  let count = copy.y >> 8u;
  var total = 0.0;
  for (var j = 0u; j < entries; j++) { total += select(0.0, masses[j], owners[j] == r); }
  let key = copy.x + (kv_head * count + r) * HEAD_DIM4;
  for (var i = 0u; i < HALF4; i += 2u) {
    var mean = Quad();
    for (var j = 0u; j < entries; j++) {
      if (owners[j] == r) { mean = plus(mean, key_quad(page, kv_head, j, i), masses[j] / total); }
    }
    kv[key + i] = pack_half4(mean.a);
    kv[key + i + 1u] = pack_half4(mean.b);
    kv[key + HALF4 + i] = pack_half4(mean.c);
    kv[key + HALF4 + i + 1u] = pack_half4(mean.d);
  }
  for (var i = 0u; i < HEAD_DIM4; i++) {
    var mean = vec4f();
    for (var j = 0u; j < entries; j++) {
      if (owners[j] == r) { mean += masses[j] / total * value_at(page, kv_head, j, i); }
    }
    kv[key + NUM_KV_HEADS * count * HEAD_DIM4 + i] = pack_half4(mean);
  }
  return log(total / mass(copy, kv_head, r, 0.0));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) id: u32) {
  let kv_head = group.x;
  let page = tasks[2u * (params.first + group.y)];
  let copy = tasks[2u * (params.first + group.y) + 1u];
  let entries = page.y >> 8u;
  let count = copy.y >> 8u;
  for (var j = id; j < entries; j += WORKGROUP) { masses[j] = mass(page, kv_head, j, raise_of(page, kv_head, j)); }
  for (var j = id; j < entries; j += WORKGROUP) { away[j] = 1e30; }
  for (var r = 0u; r < count; r++) {
    workgroupBarrier();
    if (id == 0u) { kept = worst_off(entries); }
    workgroupBarrier();
    for (var j = id; j < entries; j += WORKGROUP) {
      let distance = distance_of(page, kv_head, j, kept);
      if (distance < away[j]) {
        away[j] = distance;
        owners[j] = r;
      }
    }
  }
  workgroupBarrier();
  // Two entries share a unit of weights.
  for (var r = 2u * id; r < count; r += 2u * WORKGROUP) {
    var raised = vec2f(merge(page, copy, kv_head, r), 0.0);
    if (r + 1u < count) { raised.y = merge(page, copy, kv_head, r + 1u); }
    kv[weights_at(copy, kv_head) + r / 2u] = bitcast<vec2u>(raised);
  }
}
