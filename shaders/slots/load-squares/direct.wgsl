// Sum of squares of the block's inputs. `square(i)` is the kernel's own.
fn load_squares(first: u32, local: u32) -> f32 {
  return square(first) + square(first + 1u) + square(first + 2u) + square(first + 3u)
    + square(first + 4u) + square(first + 5u) + square(first + 6u) + square(first + 7u);
}

fn total_squares(sum: f32) -> f32 { return sum; }
