// As attention-texts, for devices whose barriers are fast: a workgroup has one head of QUERIES neighbours, and shares out the
// keys and values of their texts, KEYS at a time. Four invocations a query: each scores a quarter of the keys, and keeps a
// quarter of the output. Neighbours may be of several texts: what is not of a query's own counts for nothing.
const QUERIES = 16u;
const SLICES = 4u;
const HEADS4 = NUM_HEADS * HEAD_DIM4;

var<workgroup> queries: array<vec4f, QUERIES * HEAD_DIM4>;
var<workgroup> keys: array<vec4f, KEYS * HEAD_DIM4>;
var<workgroup> values: array<vec4f, KEYS * HEAD_DIM4>;
var<workgroup> scores: array<f32, QUERIES * KEYS>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let first = group.x * QUERIES;
  let head = group.y * HEAD_DIM4;
  let query = local / SLICES;
  let slice = local % SLICES;
  let text = batch_table[min(first + query, params.tokens - 1u)].zw;
  let start = batch_table[first].z;
  let last = batch_table[min(first + QUERIES, params.tokens) - 1u].zw;
  let end = last.x + last.y;
  for (var i = local; i < QUERIES * HEAD_DIM4; i += QUERIES * SLICES) {
    let token = min(first + i / HEAD_DIM4, params.tokens - 1u);
    queries[i] = qkv[token * 3u * HEADS4 + head + i % HEAD_DIM4] * SCALE;
  }
#for n in SLICE4
  var o#n = vec4f();
#end
  var maximum = LEAST;
  var sum = 0.0;
  for (var base = start; base < end; base += KEYS) {
    workgroupBarrier();
    for (var i = local; i < KEYS * HEAD_DIM4; i += QUERIES * SLICES) {
      let at = min(base + i / HEAD_DIM4, end - 1u) * 3u * HEADS4 + HEADS4 + head + i % HEAD_DIM4;
      keys[i] = qkv[at];
      values[i] = qkv[at + HEADS4];
    }
    workgroupBarrier();
#for k in SCORED
    var products#k = vec4f();
#end
    for (var i = 0u; i < HEAD_DIM4; i++) {
      let q = queries[query * HEAD_DIM4 + i];
#for k in SCORED
      products#k += q * keys[(slice + SLICES * #k) * HEAD_DIM4 + i];
#end
    }
#for k in SCORED
    let key#k = slice + SLICES * #k;
    let isOwn#k = base + key#k >= text.x && base + key#k < text.x + text.y;
    scores[query * KEYS + key#k] = select(LEAST, dot(products#k, vec4f(1.0)), isOwn#k);
#end
    workgroupBarrier();
    var larger = maximum;
    for (var k = 0u; k < KEYS; k++) { larger = max(larger, scores[query * KEYS + k]); }
    let kept = exp(maximum - larger);
    maximum = larger;
    sum *= kept;
#for n in SLICE4
    o#n *= kept;
#end
    for (var k = 0u; k < KEYS; k++) {
      let score = scores[query * KEYS + k];
      let weight = select(0.0, exp(score - larger), score > LEAST);
      sum += weight;
#for n in SLICE4
      o#n += weight * values[k * HEAD_DIM4 + slice * SLICE4 + #n];
#end
    }
  }
  if (first + query >= params.tokens) { return; }
#for n in SLICE4
  y[(first + query) * HEADS4 + head + slice * SLICE4 + #n] = o#n / sum;
#end
}
