// One round of the search for a filter's cut: adds the weights of the workgroup's tokens to the round's bins. The last round
// also writes the number of tokens of each tile in each bin, since some of the tokens at the cut may be masked.
// needs: filter-cut, largest-logit, sampling
var<workgroup> weights: array<atomic<u32>, 3 * BINS>;
var<workgroup> tokens_of: array<atomic<u32>, BINS>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let round = params.round;
  let search = next_search(round, lane);
  let maximum = largest_logit(lane);
  let tile = tile_of(group.x);
  let row = params.row * VOCAB;
  for (var i = tile.start + lane; i < tile.end; i += LANES) {
    let logit = logits[row + i];
    if (logit <= MASKED) { continue; }
    let key = order_key(logit);
    // In WGSL a shift by 32 bits does nothing.
    if (round > 0u && ((key ^ search.key) >> (32u - 8u * round)) != 0u) { continue; }
    let bin = (key >> (24u - 8u * round)) & 255u;
    let weight = weight_of(logit, maximum);
    if (weight.x != 0u) { atomicAdd(&weights[bin * 3u], weight.x); }
    if (weight.y != 0u) { atomicAdd(&weights[bin * 3u + 1u], weight.y); }
    if (weight.z != 0u) { atomicAdd(&weights[bin * 3u + 2u], weight.z); }
    if (round == 3u) { atomicAdd(&tokens_of[bin], 1u); }
  }
  workgroupBarrier();
  for (var i = lane; i < 3u * BINS; i += LANES) {
    let weight = atomicLoad(&weights[i]);
    if (weight != 0u) { atomicAdd(&bins[round * 3u * BINS + i], weight); }
  }
  if (round == 3u) {
    for (var bin = lane; bin < BINS; bin += LANES) { ties[group.x * BINS + bin] = atomicLoad(&tokens_of[bin]); }
  }
  if (group.x != 0u) { return; }
  // Clears the bins two rounds ahead, for this filter or the next: no workgroup reads them any more.
  for (var i = lane; i < 3u * BINS; i += LANES) { atomicStore(&bins[((round + 2u) & 3u) * 3u * BINS + i], 0u); }
  if (lane == 0u) { searches[round] = search; }
}
