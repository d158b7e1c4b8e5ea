// Shares are a softmax of the scores, not yet divided by its sum.
fn preference(score: f32, expert: u32) -> f32 { return score; }
fn share(score: f32, highest: f32) -> f32 { return exp(score - highest); }
