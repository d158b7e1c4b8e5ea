// A score's share has nothing to do with others. What is added to it where experts are chosen is not part of it.
fn preference(score: f32, expert: u32) -> f32 { return share(score, 0.0) + expert_bias[expert]; }
fn share(score: f32, highest: f32) -> f32 { return 1.0 / (1.0 + exp(min(-score, 88.0))); }
