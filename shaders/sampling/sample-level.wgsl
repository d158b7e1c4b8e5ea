// The rank level of a sequence's next token, from the entropy of the logits that its last token was sampled from: smoothed, with
// hysteresis, and ramped after a change, like DecodeRamp and nextLevel of src/chunking on the host. One invocation.
//   level_states   for each sequence slot: the levels of the ramp (from, to), tokens since the last change, smoothed complexity
fn level_of(complexity: f32) -> u32 {
  let passed = vec4f(complexity) >= vec4f(params.threshold0, params.threshold1, params.threshold2, params.threshold3);
  return dot(select(vec4u(), vec4u(1u), passed), vec4u(1u)) + select(0u, 1u, complexity >= params.threshold4);
}

@compute @workgroup_size(1)
fn main() {
  var state = level_states[params.slot];
  let newest = sqrt(clamp(entropies[params.slot], 0.0, 1.0)); // entropyComplexity
  let complexity = mix(bitcast<f32>(state.w), newest, params.smoothing);
  state.w = bitcast<u32>(complexity);
  let lowest = level_of(complexity - params.hysteresis);
  let highest = level_of(complexity + params.hysteresis);
  let wanted = min(highest, max(lowest, state.y));
  if (state.z >= 2u * params.rampWidth && wanted != state.y) {
    state.x = state.y;
    state.y = wanted;
    state.z = 0u;
  }
  let lo = min(state.x, state.y);
  let hi = max(state.x, state.y);
  let share = f32(state.z + 1u) / f32(params.rampWidth + 1u);
  var levels = vec2u(state.y);
  var weight_hi = 0.0;
  if (state.z < params.rampWidth && lo != hi) {
    levels = vec2u(lo, hi);
    weight_hi = select(1.0 - share, share, state.y == hi);
  }
  lora[2u * params.slot] = vec2u((levels.x << 16u) | (levels.y << 24u), 0u);
  lora[2u * params.slot + 1u] = vec2u(bitcast<u32>(1.0f), bitcast<u32>(weight_hi));
  state.z = min(state.z + 1u, 0xffffu);
  level_states[params.slot] = state;
}
