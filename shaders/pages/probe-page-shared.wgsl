// Like probe-page, with one workgroup a (group of tasks, GROUP heads that share keys and values). An invocation has four
// components of the outputs' change, of every SUBSETS-th entry.
// needs: page-layout, page-scores, page-units
const PROBE4 = QUERY_STRIDE;

// Squared changes of the outputs and squared outputs, one component for each head. An invocation adds to its own vectors; in
// registers they would leave fewer waves.
var<workgroup> changes: array<vec4f, HEAD_DIM4>;
var<workgroup> sizes: array<vec4f, HEAD_DIM4>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) id: u32) {
  let kv_head = workgroup.x / CHUNKS;
  let first_head = workgroup.x % CHUNKS * GROUP;
  let group = params.first / params.together + workgroup.y;
  let i = id % HEAD_DIM4;
  let subset = id / HEAD_DIM4;
  for (var q = 0u; q < params.queries; q++) {
    let position = params.position - q;
    let probe = ((params.slot * PROBES + position % PROBES) * NUM_HEADS + kv_head * SHARED + first_head) * PROBE4;
    var maximum = vec4f();
    var sum = vec4f(1.0);
#for g in GROUP
    let known#g = qkv[probe + #g * PROBE4 + 2u * HEAD_DIM4];
    maximum[#g] = known#g.x;
    sum[#g] = known#g.y;
    var o#g = vec4f();
#end
    var total = vec4f();
    // The old form of each page, then the new one.
    for (var t = 0u; t < 2u * params.together; t++) {
      let page = page_of_head(tasks[2u * group * params.together + t], kv_head);
      let distance = position - page.z;
      let keys = min(page.y >> 8u, distance + 1u);
      score_page(page, kv_head, probe, distance, 0u, keys, id);
      let sign = select(-1.0, 1.0, (t & 1u) == 1u);
      if (subset < SUBSETS) {
        for (var j = subset; j < keys; j += SUBSETS) {
          let weights = sign * exp(scores[j] - maximum) / sum;
          let value = value_vector(page, kv_head, j, i);
          total += weights;
#for g in GROUP
          o#g += weights[#g] * value;
#end
        }
      }
    }
    workgroupBarrier();
    if (subset < SUBSETS && i == 0u) { scores[subset] = total; }
#for g in GROUP
    if (subset < SUBSETS) { parts[id] = o#g; }
    workgroupBarrier();
    if (id < HEAD_DIM4) {
      let y = qkv[probe + #g * PROBE4 + HEAD_DIM4 + id];
      var moved = y;
      var whole = 1.0;
      for (var s = 0u; s < SUBSETS; s++) {
        moved += parts[s * HEAD_DIM4 + id];
        whole += scores[s][#g];
      }
      let by = moved / whole - y;
      changes[id][#g] += dot(by, by);
      sizes[id][#g] += dot(y, y);
    }
    workgroupBarrier();
#end
  }

  if (id < GROUP && first_head + id < SHARED) {
    var change = 0.0;
    var size = 0.0;
    for (var c = 0u; c < HEAD_DIM4; c++) {
      change += changes[c][id];
      size += sizes[c][id];
    }
    errors[group * NUM_HEADS + kv_head * SHARED + first_head + id] = vec2f(change, size);
  }
}
