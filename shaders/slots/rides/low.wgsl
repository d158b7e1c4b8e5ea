// The workgroups behind the kernel's own compute A · input, for the adapters of the same tokens.
// needs: lora-low
fn rides(group: vec3u, local: u32) -> bool {
  if (group.x < params.groups) { return false; }
  let work = group.x - params.groups;
  let token_work = NEXT_LINEARS * params.adapters * params.runs;
  let token = group.y * TOKENS + work / token_work;
  if (token < params.tokens) { lora_low(token, work % token_work, local); }
  return true;
}
