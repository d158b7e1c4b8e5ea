// How far another form of a page moves the whole attention output of the latest queries, each known with its output and
// softmax: without the page's part in its former form, with that in the new one. One invocation a (task, head).
const PROBE4 = 2u * HEAD_DIM4 + 1u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let task = params.first + id.x / NUM_HEADS;
  let head = id.x % NUM_HEADS;
  if (id.x >= params.count * NUM_HEADS) { return; }
  let kv_head = head / (NUM_HEADS / NUM_KV_HEADS);
  var output: array<vec4f, HEAD_DIM4>;
  var moved: array<vec4f, HEAD_DIM4>;
  var change = 0.0;
  var size = 0.0;
  for (var q = 0u; q < params.queries; q++) {
    let probe = ((params.slot * PROBES + (params.position - q) % PROBES) * NUM_HEADS + head) * PROBE4;
    let known = qkv[probe + 2u * HEAD_DIM4];
    for (var i = 0u; i < HEAD_DIM4; i++) { moved[i] = qkv[probe + HEAD_DIM4 + i]; }
    var total = 1.0;
    for (var form = 0u; form < 2u; form++) {
      for (var i = 0u; i < HEAD_DIM4; i++) { output[i] = vec4f(); }
      let part = attend_page(tasks[2u * task + form], kv_head, probe, params.position - q, Softmax(-1e30, 0.0), &output);
      let weight = select(-1.0, 1.0, form == 1u) * exp(part.maximum - known.x) / known.y;
      total += weight * part.sum;
      for (var i = 0u; i < HEAD_DIM4; i++) { moved[i] += weight * output[i]; }
    }
    for (var i = 0u; i < HEAD_DIM4; i++) {
      let y = qkv[probe + HEAD_DIM4 + i];
      let by = moved[i] / total - y;
      change += dot(by, by);
      size += dot(y, y);
    }
  }
  errors[task * NUM_HEADS + head] = sqrt(change / size);
}
