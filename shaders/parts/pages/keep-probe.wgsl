// What probe-page asks for of a batch's last tokens: four components of the query and of the output, and the softmax.
const ROW4 = (FIRST_KEY + 2u * NUM_KV_HEADS) * HEAD_DIM4;
const PROBE4 = 2u * HEAD_DIM4 + 1u;

fn keep_probe(token: u32, head: u32, i: u32, output: vec4f, softmax: vec2f) {
  if (token + PROBES < params.tokens) { return; }
  let entry = batch_table[token];
  let slot = entry.z / params.slotPages;
  let probe = ((slot * PROBES + entry.y % PROBES) * NUM_HEADS + head) * PROBE4;
  probes[probe + i] = qkv[token * ROW4 + head * HEAD_DIM4 + i];
  probes[probe + HEAD_DIM4 + i] = output;
  if (i == 0u) { probes[probe + 2u * HEAD_DIM4] = vec4f(softmax, 0.0, 0.0); }
}
