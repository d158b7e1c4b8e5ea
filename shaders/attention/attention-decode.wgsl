// Causal attention of single tokens over the paged KV cache. One workgroup a (token, split, GROUP heads that share keys and
// values); each team has every TEAMS-th part of a page, `params.pageParts` of which make a page. After the scores, an invocation
// sums four components of the outputs over every SUBSETS-th key of its team's part. With several splits each writes, for each head, the unnormalized output and (maximum,
// sum) of the softmax for attention-merge; with one split the output is finished here.
// needs: keep-probe, page-scores, page-units, rotated-value, store-token, window
fn unrotated(at: u32, k: u32) -> vec4f { return parts[at + k]; }

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) id: u32) {
  let kv_head = workgroup.x / CHUNKS;
  let first_head = workgroup.x % CHUNKS * GROUP;
  let split = workgroup.y;
  let token = workgroup.z;
  let entry = batch_table[token];
  let parts_each = params.pageParts;
  let part_keys = PAGE_TOKENS / parts_each;
  let first_part = first_page_of(entry.y) * parts_each + split * params.partsPerSplit;
  let end_part = min(first_part + params.partsPerSplit, (entry.w + 1u) * parts_each);
  let row = token * ROW4;
  let team = id / TEAM;
  let i = id % TEAM % HEAD_DIM4;
  let subset = id % TEAM / HEAD_DIM4;

  // The workgroup that attends to the token's own key stores it.
  let own_page = pages[entry.z + entry.w];
  let own_offset = entry.y - own_page.z;
  let own_part = entry.w * parts_each + own_offset / part_keys;
  if (first_part <= own_part && end_part > own_part) { store_token(own_page, kv_head, row, own_offset, id); }

  var maximum = vec4f(NO_SCORE);
  var sum = vec4f();
#for g in GROUP
  var o#g = vec4f();
#end
  for (var p = first_part; p < end_part; p += TEAMS) {
    let own = min(p + team, end_part - 1u);
    let page = page_of_head(pages[entry.z + own / parts_each], kv_head);
    let distance = entry.y - page.z;
    let start = own % parts_each * part_keys;
    let end = min(min(page.y >> 8u, distance + 1u), start + part_keys);
    let keys = select(0u, end, p + team < end_part); // 0: no part is left for this team
    let first = max(first_key_of(entry.y, page.z), start);
    score_page(page, kv_head, row + (kv_head * SHARED + first_head) * HEAD_DIM4, distance, first, keys, id);
    let next = largest_score(team, maximum);
    let shrink = exp(maximum - next);
    maximum = next;
    sum *= shrink;
#for g in GROUP
    o#g *= shrink[#g];
#end
    if (subset < SUBSETS) {
      let range = scored[team];
      for (var j = range.x + subset; j < range.y; j += SUBSETS) {
        let weights = exp(scores[team * PAGE_TOKENS + j] - maximum);
        let value = value_vector(page, kv_head, j, i);
        sum += weights;
#for g in GROUP
        o#g += weights[#g] * value;
#end
      }
    }
  }

  // Sums the teams' subsets, a head at a time, relative to the largest score of all teams.
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

// Writes four components of a head's output. `output` is not yet divided by the sum of its softmax (maximum, sum); `parts` has
// all components divided.
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
