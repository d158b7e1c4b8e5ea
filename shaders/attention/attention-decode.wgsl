// Causal attention of single tokens over the paged cache. One workgroup a (token, split, GROUP heads that share keys and
// values), a page at a time. Once the scores are known an invocation has four components of the outputs, of every
// SUBSETS-th key. Leaves, per head, the unnormalized output and (maximum, sum) of the softmax for attention-merge.
// needs: page-scores, page-units, store-token
const ROW4 = (NUM_HEADS + 2u * NUM_KV_HEADS) * HEAD_DIM4;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) id: u32) {
  let kv_head = workgroup.x / CHUNKS;
  let first_head = workgroup.x % CHUNKS * GROUP;
  let split = workgroup.y;
  let token = workgroup.z;
  let entry = batch_table[token];
  let first_page = split * params.pagesPerSplit;
  let end_page = min(first_page + params.pagesPerSplit, entry.w + 1u);
  let row = token * ROW4;
  let i = id % HEAD_DIM4;
  let subset = id / HEAD_DIM4;

  if (first_page <= entry.w && end_page > entry.w) {
    let page = pages[entry.z + entry.w];
    store_token(page, kv_head, row, entry.y - page.z, id);
  }

  var maximum = vec4f(-1e30);
  var sum = vec4f();
#for g in GROUP
  var o#g = vec4f();
#end
  for (var p = first_page; p < end_page; p++) {
    let page = pages[entry.z + p];
    let distance = entry.y - page.z;
    let keys = min(page.y >> 8u, distance + 1u);
    score_page(page, kv_head, row + (kv_head * SHARED + first_head) * HEAD_DIM4, distance, keys, id);
    var next = maximum;
    for (var j = 0u; j < keys; j++) { next = max(next, scores[j]); }
    let shrink = exp(maximum - next);
    maximum = next;
    sum *= shrink;
#for g in GROUP
    o#g *= shrink[#g];
#end
    if (subset < SUBSETS) {
      for (var j = subset; j < keys; j += SUBSETS) {
        let weights = exp(scores[j] - maximum);
        let value = value_vector(page, kv_head, j, i);
        sum += weights;
#for g in GROUP
        o#g += weights[#g] * value;
#end
      }
    }
  }

  // What the subsets have is added up, a head at a time.
  workgroupBarrier();
  if (subset < SUBSETS && i == 0u) { scores[subset] = sum; }
#for g in GROUP
  if (subset < SUBSETS) { parts[id] = o#g; }
  workgroupBarrier();
  if (id < HEAD_DIM4 && first_head + #g < SHARED) {
    let base#g = ((token * params.splits + split) * NUM_HEADS + kv_head * SHARED + first_head + #g) * (HEAD_DIM4 + 1u);
    var output#g = vec4f();
    for (var s = 0u; s < SUBSETS; s++) { output#g += parts[s * HEAD_DIM4 + id]; }
    partial_outputs[base#g + id] = output#g;
    if (id == 0u) {
      var total#g = 0.0;
      for (var s = 0u; s < SUBSETS; s++) { total#g += scores[s][#g]; }
      partial_outputs[base#g + HEAD_DIM4] = vec4f(maximum[#g], total#g, 0.0, 0.0);
    }
  }
  workgroupBarrier();
#end
}
