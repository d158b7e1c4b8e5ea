// Causal attention of single tokens over the paged cache. One workgroup a (token, split, GROUP heads that share keys and
// values); each of its teams has every TEAMS-th page. Once the scores are known an invocation has four components of the
// outputs, of every SUBSETS-th key of its team's page. Of several splits each leaves, per head, the unnormalized output
// and (maximum, sum) of the softmax for attention-merge; what is not split is finished here.
// needs: keep-probe, page-scores, page-units, rotated-value, store-token, window
fn unrotated(at: u32, k: u32) -> vec4f { return parts[at + k]; }

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) id: u32) {
  let kv_head = workgroup.x / CHUNKS;
  let first_head = workgroup.x % CHUNKS * GROUP;
  let split = workgroup.y;
  let token = workgroup.z;
  let entry = batch_table[token];
  let first_page = first_page_of(entry.y) + split * params.pagesPerSplit;
  let end_page = min(first_page + params.pagesPerSplit, entry.w + 1u);
  let row = token * ROW4;
  let team = id / TEAM;
  let i = id % TEAM % HEAD_DIM4;
  let subset = id % TEAM / HEAD_DIM4;

  if (first_page <= entry.w && end_page > entry.w) {
    let page = pages[entry.z + entry.w];
    store_token(page, kv_head, row, entry.y - page.z, id);
  }

  var maximum = vec4f(NO_SCORE);
  var sum = vec4f();
#for g in GROUP
  var o#g = vec4f();
#end
  for (var p = first_page; p < end_page; p += TEAMS) {
    let page = pages[entry.z + min(p + team, entry.w)];
    let distance = entry.y - page.z;
    let keys = select(0u, min(page.y >> 8u, distance + 1u), p + team < end_page); // none: a team that is left over
    let first = first_key_of(entry.y, page.z);
    score_page(page, kv_head, row + (kv_head * SHARED + first_head) * HEAD_DIM4, distance, first, keys, id);
    let next = largest_score(team, maximum);
    let shrink = exp(maximum - next);
    maximum = next;
    sum *= shrink;
#for g in GROUP
    o#g *= shrink[#g];
#end
    if (subset < SUBSETS) {
      for (var j = first + subset; j < keys; j += SUBSETS) {
        let weights = exp(scores[team * PAGE_TOKENS + j] - maximum);
        let value = value_vector(page, kv_head, j, i);
        sum += weights;
#for g in GROUP
        o#g += weights[#g] * value;
#end
      }
    }
  }

  // What the teams' subsets have is added up, a head at a time, as it would be beside the largest score of all.
  workgroupBarrier();
  if (id % TEAM == 0u) { queries[team] = maximum; }
  workgroupBarrier();
  var largest = maximum;
  for (var t = 0u; t < TEAMS; t++) { largest = max(largest, queries[t]); }
  let shrink = exp(maximum - largest);
  if (subset < SUBSETS && i == 0u) { scores[team * SUBSETS + subset] = sum * shrink; }
#for g in GROUP
  if (subset < SUBSETS) { parts[(team * SUBSETS + subset) * HEAD_DIM4 + i] = o#g * shrink[#g]; }
  workgroupBarrier();
  var output#g = vec4f();
  var total#g = 0.0;
  if (id < HEAD_DIM4) {
    for (var s = 0u; s < TEAMS * SUBSETS; s++) {
      output#g += parts[s * HEAD_DIM4 + id];
      total#g += scores[s][#g];
    }
  }
  workgroupBarrier();
  if (id < HEAD_DIM4) { parts[id] = output#g / total#g; }
  workgroupBarrier();
  if (id < HEAD_DIM4 && first_head + #gu < SHARED) {
    leave(token, split, kv_head * SHARED + first_head + #gu, id, output#g, vec2f(largest[#g], total#g));
  }
  workgroupBarrier();
#end
}

// Four components of a head's output, not yet divided by the sum of its softmax (maximum, sum); divided, all are in `parts`.
fn leave(token: u32, split: u32, head: u32, i: u32, output: vec4f, softmax: vec2f) {
  if (params.splits > 1u) {
    let base = ((token * params.splits + split) * NUM_HEADS + head) * (HEAD_DIM4 + 1u);
    partial_outputs[base + i] = output;
    if (i == 0u) { partial_outputs[base + HEAD_DIM4] = vec4f(softmax, 0.0, 0.0); }
    return;
  }
  y[(token * NUM_HEADS + head) * HEAD_DIM4 + i] = rotated(0u, i);
  keep_probe(token, head, i, parts[i], softmax);
}
