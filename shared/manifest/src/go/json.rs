//! Go's words for JSON that does not parse.

/// The message of `encoding/json` for a text that is not JSON; None where it is.
pub fn json_error(text: &str) -> Option<String> {
    let mut scanner = Scanner { text, at: 0, open: Vec::new() };
    match scanner.document() {
        Ok(()) => None,
        Err(Some(context)) => {
            // Go looks at bytes, and takes a space for the end inside of a scalar.
            let shown = quoted(scanner.peek().map_or(' ', char::from));
            Some(format!("invalid character {shown} {context}"))
        }
        Err(None) => Some("unexpected end of JSON input".to_owned()),
    }
}

fn quoted(c: char) -> String {
    match c {
        '\'' => "'\\''".to_owned(),
        '"' => "'\"'".to_owned(),
        '\\' | '\n' | '\r' | '\t' => format!("'{}'", c.escape_default()),
        _ if c.is_control() => format!("'\\x{:02x}'", c as u32),
        _ => format!("'{c}'"),
    }
}

/// None: the text ended too early. Otherwise what was wrong with the character at hand.
type Scan = Result<(), Option<String>>;

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// The brackets that are open, innermost last: deep nesting takes no stack here.
    open: Vec<u8>,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn wrong<T>(&self, context: &str) -> Result<T, Option<String>> {
        Err(self.peek().map(|_| context.to_owned()))
    }

    /// As `wrong`, inside of a scalar that may not end here.
    fn broken<T>(&self, context: &str) -> Result<T, Option<String>> {
        Err(Some(context.to_owned()))
    }

    fn document(&mut self) -> Scan {
        self.value()?;
        loop {
            self.spaces();
            let Some(open) = self.open.last().copied() else { break };
            let Some(byte) = self.peek() else { return Err(None) };
            match (byte, open) {
                (b',', b'[') => {
                    self.at += 1;
                    self.value()?;
                }
                (b',', _) => {
                    self.at += 1;
                    self.key("looking for beginning of object key string")?;
                    self.value()?;
                }
                (b']', b'[') | (b'}', b'{') => {
                    self.at += 1;
                    self.open.pop();
                }
                (_, b'[') => return self.wrong("after array element"),
                _ => return self.wrong("after object key:value pair"),
            }
        }
        if self.at < self.text.len() { self.wrong("after top-level value") } else { Ok(()) }
    }

    /// One value, of a list or an object only the beginning up to its first scalar or end.
    fn value(&mut self) -> Scan {
        loop {
            self.spaces();
            match self.peek() {
                Some(b'[') => {
                    self.at += 1;
                    self.open.push(b'[');
                    self.spaces();
                    if self.peek() == Some(b']') {
                        return Ok(());
                    }
                }
                Some(b'{') => {
                    self.at += 1;
                    self.open.push(b'{');
                    self.spaces();
                    if self.peek() == Some(b'}') {
                        return Ok(());
                    }
                    self.key("looking for beginning of object key string")?;
                }
                Some(b'"') => return self.string(),
                Some(b'-' | b'0'..=b'9') => return self.number(),
                Some(b't') => return self.literal("true"),
                Some(b'f') => return self.literal("false"),
                Some(b'n') => return self.literal("null"),
                _ => return self.wrong("looking for beginning of value"),
            }
        }
    }

    /// A key and its colon.
    fn key(&mut self, context: &str) -> Scan {
        self.spaces();
        if self.peek() != Some(b'"') {
            return self.wrong(context);
        }
        self.string()?;
        self.spaces();
        if self.peek() != Some(b':') {
            return self.wrong("after object key");
        }
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Scan {
        self.at += 1;
        loop {
            match self.peek() {
                None => return Err(None),
                Some(b'"') => break,
                Some(b'\\') => {
                    self.at += 1;
                    self.escape()?;
                }
                Some(0..0x20) => return self.wrong("in string literal"),
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        Ok(())
    }

    fn escape(&mut self) -> Scan {
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return self.broken("in \\u hexadecimal character escape");
                    }
                    self.at += 1;
                }
            }
            _ => return self.broken("in string escape code"),
        }
        Ok(())
    }

    fn digits(&mut self, context: &str) -> Scan {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return self.broken(context);
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Scan {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits("in numeric literal")?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        Ok(())
    }

    fn literal(&mut self, word: &str) -> Scan {
        for expected in word.bytes() {
            if self.peek() != Some(expected) {
                return self.broken(&format!("in literal {word} (expecting '{}')", char::from(expected)));
            }
            self.at += 1;
        }
        Ok(())
    }
}
