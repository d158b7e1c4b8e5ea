// Like attention-texts, for devices with fast barriers: a workgroup has one head of QUERIES consecutive tokens, and loads the
// keys and values of their texts, KEYS at a time. SLICES invocations share a query; each has a slice of the head and stores its
// part of the products for the others. Tokens may be from several texts and see different keys: keys that a query does not see
// get weight 0.
const HEADS4 = NUM_HEADS * HEAD_DIM4;
const KV_HEADS4 = NUM_KV_HEADS * HEAD_DIM4;
const ROW4 = HEADS4 + 2u * KV_HEADS4;

var<workgroup> keys: array<vec4f, KEYS * HEAD_DIM4>;
var<workgroup> values: array<vec4f, KEYS * HEAD_DIM4>;
var<workgroup> products: array<f32, QUERIES * SLICES * KEYS>;

@compute @workgroup_size(QUERIES * SLICES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let first = group.x * QUERIES;
  let head = group.y * HEAD_DIM4;
  let kv_head = HEADS4 + group.y / (NUM_HEADS / NUM_KV_HEADS) * HEAD_DIM4;
  let query = local / SLICES;
  let slice = local % SLICES * SLICE4;
  let token = min(first + query, params.tokens - 1u);
  let text = batch_table[token].zw;
  let seen = max(text.x, token - min(token, REACH));
  let unseen = min(text.x + text.y, token + REACH + 1u);
  let start = max(batch_table[first].z, first - min(first, REACH));
  let last_token = min(first + QUERIES, params.tokens) - 1u;
  let last = batch_table[last_token].zw;
  let end = min(last.x + last.y, last_token + REACH + 1u);
#for n in SLICE4
  let q#n = qkv[token * ROW4 + head + slice + #n] * SCALE;
  var o#n = vec4f();
#end
  var maximum = LEAST;
  var sum = 0.0;
  for (var base = start; base < end; base += KEYS) {
    workgroupBarrier();
    for (var i = local; i < KEYS * HEAD_DIM4; i += QUERIES * SLICES) {
      let at = min(base + i / HEAD_DIM4, end - 1u) * ROW4 + kv_head + i % HEAD_DIM4;
      keys[i] = qkv[at];
      values[i] = qkv[at + KV_HEADS4];
    }
    workgroupBarrier();
#for k in KEYS
    var product#k = vec4f();
#for n in SLICE4
    product#k += q#n * keys[#k * HEAD_DIM4 + slice + #n];
#end
    products[local * KEYS + #k] = dot(product#k, vec4f(1.0));
#end
    workgroupBarrier();
    var larger = maximum;
#for k in KEYS
    var score#k = LEAST;
    if (base + #k >= seen && base + #k < unseen) {
      score#k = 0.0;
#for s in SLICES
      score#k += products[(query * SLICES + #s) * KEYS + #k];
#end
    }
    larger = max(larger, score#k);
#end
    let kept = exp(maximum - larger);
    maximum = larger;
    sum *= kept;
#for n in SLICE4
    o#n *= kept;
#end
#for k in KEYS
    let weight#k = select(0.0, exp(score#k - larger), score#k > LEAST);
    sum += weight#k;
#for n in SLICE4
    o#n += weight#k * values[#k * HEAD_DIM4 + slice + #n];
#end
#end
  }
  if (first + query >= params.tokens) { return; }
#for n in SLICE4
  y[token * HEADS4 + head + slice + #n] = o#n / sum;
#end
}
