// What scores are multiplied by: the same everywhere.
fn score_scale(position: u32, pair: u32) -> f32 { return SCALE; }
