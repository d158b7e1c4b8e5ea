// Which of the linears whose outputs lie in one buffer an output row belongs to; its rows start at `start`.
struct LoraLinear { index: u32, start: u32, width: u32 }

fn lora_linear(row: u32) -> LoraLinear {
  if (row >= LORA_START_2) { return LoraLinear(2u, LORA_START_2, LORA_END - LORA_START_2); }
  if (row >= LORA_START_1) { return LoraLinear(1u, LORA_START_1, LORA_START_2 - LORA_START_1); }
  return LoraLinear(0u, 0u, LORA_START_1);
}

// Where `low` has what A · input of a token gave for one adapter of its mix: the rank and where B starts, then h.
fn low_at(token: u32, index: u32, linear: u32) -> u32 {
  return ((token * params.adapters + index) * NUM_LINEARS + linear) * params.lowStride;
}

fn low_component(at: u32, k: u32) -> f32 {
  let pair = low[at + 1u + k / 2u];
  return bitcast<f32>(select(pair.x, pair.y, (k & 1u) == 1u));
}
