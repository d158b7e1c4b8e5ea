// No adapters: nothing to add.
fn add_lora(first_row: u32, first_token: u32, local: u32) {}
