//! Fitting text to a terminal: a drawing that is wider or taller than its window could not be erased again.

/// Rows and columns of the terminal on standard error; a common size where it does not say.
pub fn size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(std::io::stderr()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => {
            (usize::from(size.ws_row), usize::from(size.ws_col))
        }
        _ => (24, 80),
    }
}

/// The text with its lines cut to the width, and with the lines that do not fit counted instead of shown.
pub fn fit(text: &str, (rows, columns): (usize, usize)) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let room = rows.saturating_sub(1).max(1);
    let shown = if lines.len() > room { room - 1 } else { lines.len() };
    let mut out: String =
        lines[..shown].iter().map(|line| cut(line, columns.saturating_sub(1)) + "\n").collect();
    if shown < lines.len() {
        out.push_str(&format!("… {} more lines\n", lines.len() - shown));
    }
    out
}

/// The first `width` visible characters of a line; colours take no room, and end with the line.
fn cut(line: &str, width: usize) -> String {
    let (mut out, mut visible, mut coloured) = (String::new(), 0, false);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            coloured = true;
            out.push(c);
            out.extend(chars.by_ref().take_while(|c| *c != 'm'));
            out.push('m');
            continue;
        }
        if visible == width {
            if coloured {
                out.push_str("\u{1b}[0m");
            }
            break;
        }
        visible += 1;
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_to_the_width_and_counted_beyond_the_height() {
        assert_eq!(fit("abcdef\ng\n", (5, 4)), "abc\ng\n");
        assert_eq!(fit("1\n2\n3\n4\n5\n", (4, 10)), "1\n2\n… 3 more lines\n");
    }

    #[test]
    fn colours_take_no_room_and_end_with_the_line() {
        assert_eq!(cut("\u{1b}[32mok\u{1b}[0m abcdef", 4), "\u{1b}[32mok\u{1b}[0m a\u{1b}[0m");
        assert_eq!(cut("\u{1b}[31mab", 5), "\u{1b}[31mab");
    }
}
