// Two components of h, which one invocation computes of whole blocks of inputs.
// needs: block, lora-half, lora-low
const PAIR_STEP = 2u * WORKGROUP;

fn half_dot(at: u32, v: Block) -> f32 {
  let sum = lora_half4(lora[at]) * v.a + lora_half4(lora[at + 1u]) * v.b
    + lora_half4(lora[at + 2u]) * v.c + lora_half4(lora[at + 3u]) * v.d
    + lora_half4(lora[at + 4u]) * v.e + lora_half4(lora[at + 5u]) * v.f
    + lora_half4(lora[at + 6u]) * v.g + lora_half4(lora[at + 7u]) * v.h;
  return dot(sum, vec4f(1.0));
}

// Of those above the token's rank the last row below it is read again.
fn pair_rows(run: LowRun, k: u32) -> vec2u {
  return vec2u(run.a) + min(vec2u(k, k + 1u), vec2u(run.rank - 1u)) * (BLOCKS * 8u);
}

fn pair_dot(rows: vec2u, block: u32, v: Block) -> vec2f {
  return vec2f(half_dot(rows.x + block * 8u, v), half_dot(rows.y + block * 8u, v));
}

fn store_pair(run: LowRun, k: u32, sums: vec2f) {
  if (k < run.rank) { store_low(run, k, sums.x); }
  if (k + 1u < run.rank) { store_low(run, k + 1u, sums.y); }
}
