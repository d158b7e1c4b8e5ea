// The linears whose outputs lie in one buffer, one below the other.
struct LoraLinear { start: u32, width: u32 }

fn lora_linear(index: u32) -> LoraLinear {
  if (index == 3u) { return LoraLinear(LORA_START_3, LORA_END - LORA_START_3); }
  if (index == 2u) { return LoraLinear(LORA_START_2, LORA_START_3 - LORA_START_2); }
  if (index == 1u) { return LoraLinear(LORA_START_1, LORA_START_2 - LORA_START_1); }
  return LoraLinear(0u, LORA_START_1);
}

// Which of them an output row belongs to.
fn lora_linear_of(row: u32) -> u32 {
  return select(select(select(0u, 1u, row >= LORA_START_1), 2u, row >= LORA_START_2), 3u, row >= LORA_START_3);
}

// Where `low` has what A · input of a token gave for one adapter of its mix: the rank and where B starts, then h.
fn low_at(token: u32, index: u32, linear: u32) -> u32 {
  return ((token * params.adapters + index) * NUM_LINEARS + linear) * params.lowStride;
}

fn low_component(at: u32, k: u32) -> f32 { return bitcast<f32>(low[at + 2u + k]); }

// Components k and k + 1 of h; k is even.
fn low_pair(at: u32, k: u32) -> vec2f { return vec2f(low_component(at, k), low_component(at, k + 1u)); }
