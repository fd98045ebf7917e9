//! Text from outside, made harmless: it can neither be markup, nor change the order in which its surroundings are read.

use std::fmt::{self, Write};

use askama::filters::Escaper;

/// Escapes what HTML could mistake for markup, and writes out characters that would act without being seen: control
/// characters, and those that turn the direction of text or have no width. A name shows what it is made of.
#[derive(Clone, Copy)]
pub(crate) struct Careful;

impl Escaper for Careful {
    fn write_escaped_str<W: Write>(&self, mut to: W, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '&' => to.write_str("&#38;")?,
                '<' => to.write_str("&#60;")?,
                '>' => to.write_str("&#62;")?,
                '"' => to.write_str("&#34;")?,
                '\'' => to.write_str("&#39;")?,
                '\n' | '\t' => to.write_char(c)?,
                c if acts_unseen(c) => write!(to, "\\u{{{:x}}}", u32::from(c))?,
                c => to.write_char(c)?,
            }
        }
        Ok(())
    }
}

fn acts_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut to = String::new();
        Careful.write_escaped_str(&mut to, text).unwrap();
        to
    }

    #[test]
    fn markup_is_text_and_the_unseen_is_seen() {
        assert_eq!(escaped(r#"<a href='x'>&"</a>"#), "&#60;a href=&#39;x&#39;&#62;&#38;&#34;&#60;/a&#62;");
        assert_eq!(
            escaped("nimda\u{202e}txt.exe\u{0}\u{1b}[0m\u{200b}"),
            "nimda\\u{202e}txt.exe\\u{0}\\u{1b}[0m\\u{200b}"
        );
        assert_eq!(escaped("zwei\n\tZeilen, Größe, 東京, 👩\u{200d}💻"), "zwei\n\tZeilen, Größe, 東京, 👩\u{200d}💻");
    }
}
