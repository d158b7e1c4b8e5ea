// Nothing of a part's codes was read with those of the part before.
// needs: codes
fn next_codes(before: RawCodes, row: u32, part: u32, begins_run: bool) -> RawCodes { return raw_codes(row, part); }
