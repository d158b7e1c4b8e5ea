// How far other forms of pages move the whole attention output of the latest queries, each known with its output and
// softmax: without the pages' parts in their former forms, with those in the new ones. One invocation a head of a task, or
// of some of them together.
const PROBE4 = 2u * HEAD_DIM4 + 1u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let group = params.first / params.together + id.x / NUM_HEADS;
  let head = id.x % NUM_HEADS;
  if (id.x >= params.count / params.together * NUM_HEADS) { return; }
  let kv_head = head / (NUM_HEADS / NUM_KV_HEADS);
  var softmax: array<Softmax, GROUP>;
  var output: array<vec4f, OUTPUT4>;
  var moved: array<vec4f, HEAD_DIM4>;
  var change = 0.0;
  var size = 0.0;
  var mass = 0.0;
  for (var q = 0u; q < params.queries; q++) {
    let probe = ((params.slot * PROBES + (params.position - q) % PROBES) * NUM_HEADS + head) * PROBE4;
    let known = qkv[probe + 2u * HEAD_DIM4];
    for (var i = 0u; i < HEAD_DIM4; i++) { moved[i] = qkv[probe + HEAD_DIM4 + i]; }
    var total = 1.0;
    // The former form of each, then the new one.
    for (var t = 0u; t < 2u * params.together; t++) {
      for (var i = 0u; i < HEAD_DIM4; i++) { output[i] = vec4f(); }
      softmax[0] = NO_PAGE;
      attend_page(tasks[2u * group * params.together + t], kv_head, probe, params.position - q, &softmax, &output);
      let part = softmax[0];
      let weight = select(-1.0, 1.0, (t & 1u) == 1u) * exp(part.maximum - known.x) / known.y;
      total += weight * part.sum;
      mass += max(-weight * part.sum, 0.0);
      for (var i = 0u; i < HEAD_DIM4; i++) { moved[i] += weight * output[i]; }
    }
    for (var i = 0u; i < HEAD_DIM4; i++) {
      let y = qkv[probe + HEAD_DIM4 + i];
      let by = moved[i] / total - y;
      change += dot(by, by);
      size += dot(y, y);
    }
  }
  errors[group * NUM_HEADS + head] = vec2f(sqrt(change / size), mass / f32(params.queries));
}
