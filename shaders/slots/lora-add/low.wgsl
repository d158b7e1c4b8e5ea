// B · h of one token for four outputs, summed over the adapters of its mix. The components are shared out over `lanes`
// invocations, of which this is the `lane`th.
// needs: lora-half, lora-linear
fn lora_add(token: u32, row: u32, lane: u32, lanes: u32) -> vec4f {
  let own = lora_linear_of(row);
  let linear = lora_linear(own);
  var sum = vec4f();
  for (var index = 0u; index < params.adapters; index++) {
    let at = low_at(token, index, own);
    let b = low[at + 1u] + (row - linear.start) / 4u;
    for (var k = lane; k < low[at]; k += lanes) {
      sum += low_component(at, k) * lora_half4(lora[b + k * (linear.width / 4u)]);
    }
  }
  return sum;
}
