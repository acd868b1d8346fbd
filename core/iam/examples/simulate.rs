//! Cases from standard input, decisions to standard output, a line each: see `remit_iam::simulate`.

use std::io::{self, BufRead, Write};

use remit_iam::simulate::simulate_line;

fn main() -> io::Result<()> {
    let mut output = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let answer = simulate_line(&line?).unwrap_or_else(|failure| failure);
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(())
}
