// Every invocation loads the whole block of inputs it needs. `input(i)` is the kernel's own.
// needs: block, input
fn load_block(first: u32, local: u32) -> Block {
  return Block(
    input(first), input(first + 1u), input(first + 2u), input(first + 3u),
    input(first + 4u), input(first + 5u), input(first + 6u), input(first + 7u));
}
