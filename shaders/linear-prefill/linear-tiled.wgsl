// Many tokens: y[t, row] = weight[row] · x[t]. A workgroup computes a tile of rows and tokens, and unpacks a weight once for
// all of the tile's tokens. Four invocations read the quants of a row, a part of a block each, so that neighbours read whole
// sectors. In each step they unpack eight columns each, as two vectors VECTORS_APART; a part lasts for STEPS steps, a round.
// Short buffers are read for a run of blocks at once, which lasts for RUN_ROUNDS rounds.
// needs: bias, block, codes, next-codes, scales, store-product, tile-inputs, tile-lora, tile-product
// fills: tile-vector
const PARTS = BLOCKS * TILE_PARTS;
const ROUNDS = (PARTS + 3u) / 4u;
// Columns of a part, in vectors.
const PART_VECTORS = 8u / TILE_PARTS;
const STEPS = PART_VECTORS / 2u;
// RUN_LANES invocations share a run of RUN blocks and have a part each at a time.
const RUN_PARTS = RUN * TILE_PARTS;
const RUN_ROUNDS = RUN_PARTS / RUN_LANES;
const RUNS = 4u / RUN_LANES;
// Parts from one round to the next, and from one invocation to the next.
const ROUND_STEP = select(RUN_LANES, 1u, IN_ORDER);
const LANE_STEP = select(1u, RUN_ROUNDS, IN_ORDER);
// Rounds with whole runs, RUNS of them at once; after them the parts are in order.
const ORDERED = PARTS / (RUNS * RUN_PARTS) * RUN_ROUNDS;
// With many steps a round, each step permutes the invocations' columns: compilers would keep constant indices in registers.
const TURN = select(0u, 1u, STEPS > 2u);

// The part of a row that the `n`th of its invocations reads.
fn part_of(round: u32, n: u32) -> u32 {
  if (round >= ORDERED) { return 4u * round + n; }
  return (round / RUN_ROUNDS * RUNS + n / RUN_LANES) * RUN_PARTS + ROUND_STEP * (round % RUN_ROUNDS) + LANE_STEP * (n % RUN_LANES);
}

fn begins_run(round: u32) -> bool { return round >= ORDERED || round % RUN_ROUNDS == 0u; }

// After the last part, returns columns of the last one: there the weights are 0.
fn tile_vector(step: u32, column4: u32) -> u32 {
  let part = min(part_of(step / STEPS, (column4 / 2u - TURN * (step % STEPS)) % 4u), PARTS - 1u);
  return part * PART_VECTORS + step % STEPS * 2u + column4 % 2u;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let first_row = group.x * TILE_ROWS;
  let first_token = group.y * TILE_TOKENS;
  #for n in HELD
  var run#n: RunScales;
  var codes#n: RawCodes;
  #end
  for (var round = 0u; round < ROUNDS; round++) {
    let part = part_of(round, local % 4u);
    let own = min(part, PARTS - 1u);
    #for n in HELD
    let row#n = (local + #nu * WORKGROUP) / 4u;
    let at#n = min(first_row + row#n, params.rows - 1u);
    codes#n = next_codes(codes#n, at#n, own, begins_run(round));
    if (begins_run(round)) { run#n = run_scales(at#n, own / TILE_PARTS); }
    let scales#n = select(vec4f(), scales_of(run#n, at#n * BLOCKS + own / TILE_PARTS), part < PARTS);
    #end
    for (var step = 0u; step < STEPS; step++) {
      workgroupBarrier(); // other invocations may still read the previous tiles
      #for n in HELD
      if (4u * TILE_ROWS >= WORKGROUP || row#n < TILE_ROWS) {
        let eight = first_codes(codes#n);
        let is_behind = 2u * step >= STEPS;
        let scale = select(scales#n.x, scales#n.y, is_behind);
        let minimum = select(scales#n.z, scales#n.w, MINIMA == 2u && is_behind);
        // In this order, so that the products of scale and step are not kept in registers.
        let column4 = (local + TURN * step) % 4u * select(2u, 1u, VECTORS_APART > 1u);
        put_weights(row#n, column4, eight.a * CODE_STEP * scale + minimum);
        put_weights(row#n, column4 + VECTORS_APART, eight.b * CODE_STEP * scale + minimum);
        codes#n = codes_behind(codes#n);
      }
      #end
      fill_inputs(first_token, round * STEPS + step, WORKGROUP - 1u - local);
      workgroupBarrier();
      add_products(first_token, local);
    }
  }
  add_lora(params.rowStart + first_row, first_token, local);
  let token = first_token + local / 16u * 4u;
  #for r in ROWS_EACH
  let row#r = first_row + local % 16u + 16u * #ru;
  if (row#r < params.rows) {
    store(token, row#r, sums[#r].x);
    store(token + 1u, row#r, sums[#r].y);
    store(token + 2u, row#r, sums[#r].z);
    store(token + 3u, row#r, sums[#r].w);
  }
  #end
}
