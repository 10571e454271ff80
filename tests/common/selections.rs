//! Random selections that LVM accepts.

/// A field to be selected by, how it is compared, and values that it has.
pub struct Known<'k> {
    pub name: &'k str,
    pub of: Of,
    /// Sizes in sectors, lists with commas.
    pub values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    Number,
    Size,
    Percent,
    Text,
    List,
    Time,
    Flag,
}

pub enum Expression {
    Test(String),
    All(Vec<Expression>),
    Any(Vec<Expression>),
    /// Never of another one.
    Not(Box<Expression>),
}

pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: usize) -> usize {
        // Xorshift, which must not begin with zero.
        self.0 = self.0.max(1);
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or(0) % bound.max(1)
    }

    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// A whole selection.
    pub fn selection(&mut self, fields: &[Known]) -> String {
        let expression = self.expression(fields, 3);
        self.text(&expression)
    }

    pub fn expression(&mut self, fields: &[Known], depth: usize) -> Expression {
        if depth == 0 || self.below(3) == 0 {
            let at = self.below(fields.len());
            return Expression::Test(self.test(&fields[at]));
        }
        if self.below(4) == 0 {
            let inner = loop {
                match self.expression(fields, depth - 1) {
                    Expression::Not(_) => {}
                    inner => break inner,
                }
            };
            return Expression::Not(Box::new(inner));
        }
        let count = 2 + self.below(2);
        let parts = (0..count).map(|_| self.expression(fields, depth - 1)).collect();
        if self.below(2) == 0 { Expression::All(parts) } else { Expression::Any(parts) }
    }

    /// With more or less space, and parentheses that need not be.
    pub fn text(&mut self, expression: &Expression) -> String {
        match expression {
            Expression::Test(test) if self.below(5) == 0 => format!("({test})"),
            Expression::Test(test) => test.clone(),
            Expression::Not(inner) => format!("!{}({}{})", self.space(), self.text(inner), self.space()),
            Expression::All(parts) => {
                let sign = self.one(&["&&", ","]);
                let parts = parts.iter().map(|part| match part {
                    Expression::Any(_) => format!("({})", self.text(part)),
                    _ => self.text(part),
                });
                let parts = parts.collect::<Vec<_>>();
                self.joined(&parts, sign)
            }
            Expression::Any(parts) => {
                let sign = self.one(&["||", "#"]);
                let parts = parts.iter().map(|part| self.text(part)).collect::<Vec<_>>();
                self.joined(&parts, sign)
            }
        }
    }

    fn joined(&mut self, parts: &[String], sign: &str) -> String {
        let sign = format!("{}{sign}{}", self.space(), self.space());
        parts.join(&sign)
    }

    fn space(&mut self) -> &'static str {
        self.one(&["", " ", "  "])
    }

    fn test(&mut self, field: &Known) -> String {
        let value =
            if field.values.is_empty() { String::new() } else { field.values[self.below(field.values.len())].clone() };
        let ordered = &["=", "!=", ">", ">=", "<", "<="];
        let (sign, value) = match field.of {
            Of::Number => (self.one(ordered), self.number(&value)),
            Of::Size => (self.one(ordered), self.size(&value)),
            Of::Percent => (self.one(ordered), format!("{}{}", self.below(101), self.one(&["", "%"]))),
            Of::Flag => (self.one(&["=", "!="]), self.one(&["0", "1", "yes", "no", "unknown"]).to_owned()),
            Of::Time => {
                let sign = self.one(&["=", ">", ">=", "<", "<=", " since ", " after ", " until ", " before "]);
                (sign, self.date())
            }
            Of::Text if self.below(2) == 0 => (self.one(&["=~", "!~"]), self.expression_for(&value)),
            Of::Text => (self.one(&["=", "!="]), self.quoted(&value)),
            Of::List => (self.one(&["=", "!="]), self.list(&value)),
        };
        let around = if sign.starts_with(' ') { "" } else { self.space() };
        format!("{}{around}{sign}{around}{value}", field.name)
    }

    fn number(&mut self, value: &str) -> String {
        match (self.below(6), value.parse::<u64>()) {
            (0, _) | (_, Err(_)) => self.one(&["-1", "undefined", "unknown", "undef", "0"]).to_owned(),
            (1, Ok(number)) => number.saturating_add(1).to_string(),
            (2, Ok(number)) => number.saturating_sub(1).to_string(),
            (_, Ok(number)) => number.to_string(),
        }
    }

    fn size(&mut self, sectors: &str) -> String {
        let sectors = sectors.parse::<u64>().unwrap_or(2048);
        match self.below(7) {
            0 => format!("{sectors}s"),
            1 => format!("{}b", sectors.saturating_mul(512)),
            2 => format!("{}k", sectors / 2),
            3 => format!("{}.5", sectors / 2048),
            4 => format!("{}M", sectors.saturating_mul(512) / 1_000_000),
            5 => format!(".{:03}g", self.below(1000)),
            _ => format!("{}{}", self.below(100), self.one(&["m", "K", "G", "t", "S", ""])),
        }
    }

    /// Of those of which each version of LVM knows the end.
    fn date(&mut self) -> String {
        let (year, month, day) = (2012 + self.below(15), 2 + self.below(11), 1 + self.below(27));
        match self.below(4) {
            0 => format!("{year}"),
            1 => format!("{year}-{month:02}"),
            2 => format!("@{}", 1_400_000_000 + self.below(400_000_000)),
            _ => format!("\"{year}-{month:02}-{day:02} {:02}:{:02}\"", self.below(23), self.below(59)),
        }
    }

    fn quoted(&mut self, value: &str) -> String {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.+/".contains(&byte);
        if value.bytes().all(is_plain) && self.below(2) == 0 {
            return value.to_owned();
        }
        let quote = if value.contains('"') { '\'' } else { '"' };
        format!("{quote}{value}{quote}")
    }

    fn expression_for(&mut self, value: &str) -> String {
        let letters = value.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
        let (head, tail) = letters.split_at(letters.len() / 2);
        let (head, tail) = (if head.is_empty() { "a" } else { head }, if tail.is_empty() { "." } else { tail });
        let expression = match self.below(9) {
            0 => format!("^{head}"),
            1 => format!("{tail}$"),
            2 => format!("{head}|{tail}"),
            3 => format!("^({head}|{tail})*.$"),
            4 => "[a-m]".to_owned(),
            5 => "[^0-9][0-9]+".to_owned(),
            6 => format!("{head}.?"),
            7 => format!("^[^{}]+{tail}", &head[..1]),
            _ => "^.....?$".to_owned(),
        };
        format!("\"{expression}\"")
    }

    fn list(&mut self, value: &str) -> String {
        let mut items = value.split(',').map(str::to_owned).collect::<Vec<_>>();
        if self.below(3) == 0 {
            items.push(self.one(&["a", "b", "none-such", ""]).to_owned());
        }
        let items = items.iter().map(|item| self.quoted(item)).collect::<Vec<_>>();
        if items.len() == 1 && self.below(2) == 0 {
            return items.concat();
        }
        let sign = self.one(&["&&", ",", "||", "#"]);
        let items = self.joined(&items, sign);
        let (open, close) = self.one(&[("[", "]"), ("{", "}")]);
        format!("{open}{items}{close}")
    }
}
