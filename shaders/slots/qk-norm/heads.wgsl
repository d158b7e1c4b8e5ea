fn query_norm(i: u32) -> vec4f { return query_norm_weight[i]; }

fn key_norm(i: u32) -> vec4f { return key_norm_weight[i]; }
