// y[t, h] = softmax(q[t, h] · keys) · values over the tokens of t's text at most REACH before or after t. One invocation a
// (token, head), with its query and output in registers. Neighbours read the same keys at the same time.
const HEADS4 = NUM_HEADS * HEAD_DIM4;
const KV_HEADS4 = NUM_KV_HEADS * HEAD_DIM4;
const ROW4 = HEADS4 + 2u * KV_HEADS4;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let token = id.x;
  if (token >= params.tokens) { return; }
  let head = id.y * HEAD_DIM4;
  let kv_head = HEADS4 + id.y / (NUM_HEADS / NUM_KV_HEADS) * HEAD_DIM4;
  let query = token * ROW4 + head;
#for i in HEAD_DIM4
  let q#i = qkv[query + #iu] * SCALE;
  var o#i = vec4f();
#end
  var maximum = LEAST;
  var sum = 0.0;
  let text = batch_table[token].zw;
  let end = min(text.x + text.y, token + REACH + 1u);
  for (var other = max(text.x, token - min(token, REACH)); other < end; other++) {
    let key = other * ROW4 + kv_head;
    let value = key + KV_HEADS4;
    var products = vec4f();
#for i in HEAD_DIM4
    products += q#i * qkv[key + #iu];
#end
    let score = dot(products, vec4f(1.0));
    let larger = max(maximum, score);
    let kept = exp(maximum - larger);
    let weight = exp(score - larger);
    maximum = larger;
    sum = sum * kept + weight;
#for i in HEAD_DIM4
    o#i = o#i * kept + weight * qkv[value + #iu];
#end
  }
#for i in HEAD_DIM4
  y[token * HEADS4 + head + #iu] = o#i / sum;
#end
}
