// Causal attention of consecutive tokens of one sequence, from the batch's token `firstToken` on, over the paged KV cache. One workgroup a (tile of ROWS queries, split,
// key/value head); a query is a (token, head) whose head shares these keys and values. The workgroup unpacks KEYS keys of a
// page at a time into its memory as f32, once for all queries. LANES invocations share four queries: each has the scores of
// every KEY_LANES-th key and VECTORS vectors of the outputs. Writes what attention-decode writes. Queries are rotated once, by
// their distance from the tile's first position, and kept where the outputs go; keys are rotated by the distance of their
// page's base from that position.
// needs: half4, page-layout, page-units, score-scale, window
const ROW4 = (FIRST_KEY + 2u * NUM_KV_HEADS) * HEAD_DIM4;
const SHARED = NUM_HEADS / NUM_KV_HEADS;
const ROWS = 4u * ROW_GROUPS;
const WORKGROUP = ROW_GROUPS * LANES;
// Invocations that unpack keys: whole pairs.
const STAGING = WORKGROUP & ~1u;
// Vectors of a key or query in workgroup memory: pairs that rotate with each other.
const KEY_VECTORS = 2u * KEY_PAIRS;
const QUERY_VECTORS = 2u * QUERY_PAIRS;
const KEY_CHUNKS = HALF4 / KEY_PAIRS;
const QUERY_CHUNKS = KEY_PAIRS / QUERY_PAIRS;

// In turn keys `[KEYS, KEY_VECTORS]` and values `[VALUE_KEYS, HEAD_DIM4]`.
var<workgroup> page_part: array<vec4f, PAGE_PART>;
// In turn queries `[QUERY_VECTORS, ROWS]`, maxima `[KEY_LANES, ROW_GROUPS]` and weights `[VALUE_KEYS, ROW_GROUPS]`.
var<workgroup> row_part: array<vec4f, ROW_PART>;

// For each query its largest score, then the factor of its sums when that score grows: four a group of rows, each written by
// another invocation.
var<workgroup> row_states: array<f32, 2u * ROWS>;

fn states_at(first: u32) -> vec4f {
  return vec4f(row_states[first], row_states[first + 1u], row_states[first + 2u], row_states[first + 3u]);
}

struct Tile { first: u32, count: u32, split: u32, kv_head: u32, position: u32 }

// Rows after the last query repeat that query.
fn token_of(tile: Tile, row: u32) -> u32 { return (tile.first + min(row, tile.count - 1u)) / SHARED; }

fn positions_of(tile: Tile, rows: u32) -> vec4i {
  return vec4i(vec4u(
    batch_table[token_of(tile, rows)].y, batch_table[token_of(tile, rows + ROW_GROUPS)].y,
    batch_table[token_of(tile, rows + 2u * ROW_GROUPS)].y, batch_table[token_of(tile, rows + 3u * ROW_GROUPS)].y));
}

fn partial_of(tile: Tile, row: u32) -> u32 {
  let query = tile.first + min(row, tile.count - 1u);
  let head = tile.kv_head * SHARED + query % SHARED;
  return ((query / SHARED * params.splits + tile.split) * NUM_HEADS + head) * (HEAD_DIM4 + 1u);
}

fn add_dot(sum: f32, a: vec4f, b: vec4f) -> f32 { return a.w * b.w + (a.z * b.z + (a.y * b.y + (a.x * b.x + sum))); }

// Index of the vector c of a rotated query in `partial_outputs`: the same vector of all queries is contiguous.
fn query_at(tile: Tile, row: u32, c: u32) -> u32 {
  let place = c * tile.count + min(row, tile.count - 1u);
  return partial_of(tile, place / (HEAD_DIM4 + 1u)) + place % (HEAD_DIM4 + 1u);
}

fn rotate_queries(tile: Tile, id: u32) {
  for (var item = id; item < tile.count * HALF4; item += WORKGROUP) {
    let row = item / HALF4;
    let i = item % HALF4;
    let token = token_of(tile, row);
    let query = token * ROW4 + (tile.kv_head * SHARED + (tile.first + row) % SHARED) * HEAD_DIM4 + i;
    let angle = (batch_table[token].y - tile.position) * HEAD_DIM4 + i;
    let scale = score_scale(batch_table[token].y, i);
    let a = qkv[query] * scale;
    let b = qkv[query + HALF4] * scale;
    partial_outputs[query_at(tile, row, 2u * i)] = a * rope[angle] - b * rope[angle + HALF4];
    partial_outputs[query_at(tile, row, 2u * i + 1u)] = a * rope[angle + HALF4] + b * rope[angle];
  }
}

// Stages KEY_PAIRS pairs from `first_pair` on of the keys from `first` on; zeros after the last of `keys`. An invocation reads
// one vector of a pair and rotates it with the other from workgroup memory: both would take too many registers.
fn stage_keys(page: vec4u, tile: Tile, first: u32, keys: u32, first_pair: u32, id: u32) {
  let is_behind = tile.position >= page.z;
  let distance = select(page.z - tile.position, tile.position - page.z, is_behind);
  for (var start = 0u; start < KEYS * KEY_VECTORS; start += STAGING) {
    let item = start + id;
    let j = select(KEYS, item / KEY_VECTORS, id < STAGING);
    let x = item % KEY_VECTORS;
    let i = first_pair + x / 2u;
    let other = x % 2u;
    let at = j * KEY_VECTORS + (x ^ (j & SWIZZLE));
    var vector = vec4f();
    if (j < KEYS && first + j < keys) { vector = key_vector(page, tile.kv_head, first + j, i, other); }
    if (j < KEYS) { page_part[at] = vector; }
    workgroupBarrier();
    if (j < KEYS) {
      let angle = distance * HEAD_DIM4 + i;
      vector = page_part[at] * rope[angle];
      vector += page_part[at ^ 1u] * (rope[angle + HALF4] * select(1.0, -1.0, is_behind == (other == 1u)));
    }
    workgroupBarrier();
    if (j < KEYS) { page_part[at] = vector; }
  }
}

fn stage_queries(tile: Tile, first_pair: u32, id: u32) {
  for (var item = id; item < ROWS * QUERY_VECTORS; item += WORKGROUP) {
    row_part[item] = partial_outputs[query_at(tile, item % ROWS, 2u * first_pair + item / ROWS)];
  }
}

// Stages values from the key `first` on; zeros after the last of `keys`.
fn stage_values(page: vec4u, tile: Tile, first: u32, keys: u32, id: u32) {
  for (var item = id; item < VALUE_KEYS * HEAD_DIM4; item += WORKGROUP) {
    let j = first + item / HEAD_DIM4;
    var value = vec4f();
    if (j < keys) { value = value_vector(page, tile.kv_head, j, item % HEAD_DIM4); }
    page_part[item] = value;
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) id: u32) {
  let first = params.firstToken * SHARED + workgroup.x * ROWS;
  let count = min(ROWS, (params.firstToken + params.tokens) * SHARED - first);
  let entry = batch_table[first / SHARED];
  let tile = Tile(first, count, workgroup.y, workgroup.z, entry.y);
  let last = batch_table[(first + count - 1u) / SHARED];
  let first_page = first_page_of(tile.position) + tile.split * params.pagesPerSplit;
  let end_page = min(first_page + params.pagesPerSplit, last.w + 1u);
  let lane = id % LANES;
  let rows = id / LANES;
  let query = lane % 4u;
  rotate_queries(tile, id);
  storageBarrier();

  // For one of the invocation's four queries: all four would take more registers.
  var maximum = -1e30;
  var sum = 0.0;
#for r in FOUR
#for v in VECTORS
  var o#r_#v = vec4f();
#end
#end
  for (var p = first_page; p < end_page; p++) {
    let page = page_of_head(pages[entry.z + p], tile.kv_head);
    let keys = min(page.y >> 8u, last.y - page.z + 1u);
    for (var first_key = 0u; first_key < keys; first_key += KEYS) {
#for j in OWN_KEYS
      var s#j = vec4f();
#end
      for (var chunk = 0u; chunk < KEY_CHUNKS; chunk++) {
        workgroupBarrier();
        stage_keys(page, tile, first_key, keys, chunk * KEY_PAIRS, id);
        for (var part = 0u; part < QUERY_CHUNKS; part++) {
          if (part > 0u) { workgroupBarrier(); }
          stage_queries(tile, chunk * KEY_PAIRS + part * QUERY_PAIRS, id);
          workgroupBarrier();
          if (lane < KEY_LANES) {
            for (var c = 0u; c < QUERY_VECTORS; c++) {
              let x = part * QUERY_VECTORS + c;
#for j in OWN_KEYS
              let k#j = page_part[(#j * KEY_LANES + lane) * KEY_VECTORS + (x ^ (lane & SWIZZLE))];
#end
#for r in FOUR
              let q#r = row_part[c * ROWS + #r * ROW_GROUPS + rows];
#for j in OWN_KEYS
              s#j[#r] = add_dot(s#j[#r], q#r, k#j);
#end
#end
            }
          }
        }
      }
      let positions = positions_of(tile, rows);
      var own = vec4f(-1e30);
#for j in OWN_KEYS
      let key#j = first_key + #j * KEY_LANES + lane;
      let sees#j = key#j < keys && lane < KEY_LANES;
      s#j = select(vec4f(-1e38), s#j, vec4<bool>(sees#j) & (vec4i(i32(key#j + page.z)) <= positions) & are_near(key#j + page.z, positions));
      own = max(own, s#j);
#end
      workgroupBarrier();
      if (lane < KEY_LANES) { row_part[lane * ROW_GROUPS + rows] = own; }
      workgroupBarrier();
      var next = maximum;
      for (var l = 0u; l < KEY_LANES; l++) { next = max(next, row_part[l * ROW_GROUPS + rows][query]); }
      if (lane < 4u) {
        row_states[4u * rows + query] = next;
        row_states[ROWS + 4u * rows + query] = exp(maximum - next);
      }
      sum *= exp(maximum - next);
      maximum = next;
      workgroupBarrier();
      let maxima = states_at(4u * rows);
      let shrink = states_at(ROWS + 4u * rows);
#for r in FOUR
#for v in VECTORS
      o#r_#v *= shrink[#r];
#end
#end
#for j in OWN_KEYS
      s#j = exp(s#j - maxima);
#end
      for (var first_value = 0u; first_value < KEYS; first_value += VALUE_KEYS) {
        workgroupBarrier();
        stage_values(page, tile, first_key + first_value, keys, id);
#for j in OWN_KEYS
        let place#j = #j * KEY_LANES + lane - first_value;
        if (lane < KEY_LANES && place#j < VALUE_KEYS) { row_part[place#j * ROW_GROUPS + rows] = s#j; }
#end
        workgroupBarrier();
        for (var j = 0u; j < VALUE_KEYS; j++) {
          let weights = row_part[j * ROW_GROUPS + rows];
          sum += row_part[j * ROW_GROUPS + rows][query];
#for v in VECTORS
          let v#v = page_part[j * HEAD_DIM4 + #v * LANES + lane];
#for r in FOUR
          o#r_#v += weights[#r] * v#v;
#end
#end
        }
      }
    }
  }

#for r in FOUR
  if (#r * ROW_GROUPS + rows < count) {
    let base#r = partial_of(tile, #r * ROW_GROUPS + rows);
#for v in VECTORS
    partial_outputs[base#r + #v * LANES + lane] = o#r_#v;
#end
    if (lane == #r) { partial_outputs[base#r + HEAD_DIM4] = vec4f(maximum, sum, 0.0, 0.0); }
  }
#end
}
