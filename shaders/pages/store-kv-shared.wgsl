// Like store-kv, with invocations that share a head's norm: each has the vectors i and HALF4 + i of a head of a token, of keys
// and values and, with QK_NORM, of queries. With VALUE_NORM values are normed too.
// needs: qk-norm, rotated-value, stored-half
const HALF4 = HEAD_DIM4 / 2u;
const ROW4 = (FIRST_KEY + 2u * NUM_KV_HEADS) * HEAD_DIM4;
const HALF_PART = NUM_KV_HEADS * PAGE_TOKENS * HEAD_DIM4;

var<workgroup> squares: array<f32, WORKGROUP>;
// The values of each head; the rotation of one needs all of them.
var<workgroup> values: array<vec4f, 2u * WORKGROUP>;

fn unrotated(at: u32, k: u32) -> vec4f { return values[at + k]; }

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) id: u32) {
  // Heads of keys, then of queries.
  let head = workgroup.x * HEADS_ABREAST + id / HALF4;
  let i = id % HALF4;
  let token = workgroup.y;
  let is_key = head < STORED_KV;
  let source = token * ROW4 + select(head - STORED_KV, FIRST_KEY + head, is_key) * HEAD_DIM4 + i;
  let is_idle = id / HALF4 >= HEADS_ABREAST || head >= STORED_HEADS;
  var a = vec4f();
  var b = vec4f();
  if (!is_idle) {
    a = qkv[source];
    b = qkv[source + HALF4];
  }
  if (QK_NORM) {
    squares[id] = dot(a, a) + dot(b, b);
    workgroupBarrier();
    var sum = 0.0;
    for (var k = 0u; k < HALF4; k++) { sum += squares[min(id - i + k, WORKGROUP - 1u)]; }
    let scale = inverseSqrt(sum / f32(HEAD_DIM4 * 4u) + NORM_EPS);
    if (is_key) {
      a *= scale * key_norm(i);
      b *= scale * key_norm(HALF4 + i);
    } else {
      a *= scale * query_norm(i);
      b *= scale * query_norm(HALF4 + i);
    }
  }
  let place = 2u * (id - i);
  var c = vec4f();
  var d = vec4f();
  if (!is_idle && is_key) {
    c = qkv[source + NUM_KV_HEADS * HEAD_DIM4];
    d = qkv[source + NUM_KV_HEADS * HEAD_DIM4 + HALF4];
    values[place + i] = c;
    values[place + HALF4 + i] = d;
  }
  var value_scale = 1.0;
  workgroupBarrier();
  if (VALUE_NORM) {
    squares[id] = dot(c, c) + dot(d, d);
    workgroupBarrier();
    var sum = 0.0;
    for (var k = 0u; k < HALF4; k++) { sum += squares[min(id - i + k, WORKGROUP - 1u)]; }
    value_scale = inverseSqrt(sum / f32(HEAD_DIM4 * 4u) + NORM_EPS);
  }
  if (is_idle) { return; }
  if (!is_key) {
    qkv[source] = a;
    qkv[source + HALF4] = b;
    return;
  }
  let entry = batch_table[token];
  let page = pages[entry.z + entry.w];
  let offset = entry.y - page.z;
  let cosine = rope[offset * HEAD_DIM4 + i];
  let sine = rope[offset * HEAD_DIM4 + HALF4 + i];
  let key = page.x + (head * PAGE_TOKENS + offset) * HEAD_DIM4 + i;
  kv[key] = stored_half(a * cosine - b * sine);
  kv[key + HALF4] = stored_half(a * sine + b * cosine);
  kv[key + HALF_PART] = stored_half(rotated(place, i) * value_scale);
  kv[key + HALF_PART + HALF4] = stored_half(rotated(place, HALF4 + i) * value_scale);
}
