// As squares-direct, shared out like input-broadcast4.
fn load_squares(first: u32, local: u32) -> f32 {
  return square(first + (local & 3u)) + square(first + 4u + (local & 3u));
}

fn total_squares(sum: f32) -> f32 { return subgroupAdd(sum); }
