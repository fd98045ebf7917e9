//! Reads our own pages: tags in order, and the text a person sees.

/// A start tag: its name, and its attributes by name and value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Tag {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
}

impl Tag {
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The start tags of a page in order. Panics on markup that our templates cannot have written.
pub(crate) fn tags(page: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut rest = page;
    while let Some((_, after)) = rest.split_once('<') {
        let (inside, left) = after.split_once('>').unwrap_or_else(|| panic!("a tag is not closed: {after:.60}"));
        rest = left;
        if !inside.starts_with(['/', '!']) {
            tags.push(tag(inside));
        }
    }
    tags
}

fn tag(inside: &str) -> Tag {
    let (name, mut rest) = inside.split_once(char::is_whitespace).unwrap_or((inside, ""));
    assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()), "not one of our tags: <{inside}>");
    let mut attributes = Vec::new();
    while let Some((attribute, after)) = rest.split_once("=\"") {
        let (value, left) = after.split_once('"').unwrap_or_else(|| panic!("an attribute is not closed: {after}"));
        attributes.push((attribute.trim().to_owned(), value.to_owned()));
        rest = left;
    }
    assert!(rest.trim().is_empty(), "an attribute without quotes: <{inside}>");
    Tag { name: name.to_owned(), attributes }
}

/// What a person reads: no tags, no entities, one space between words, one line per row or block.
pub(crate) fn text(page: &str) -> String {
    let main = page.split_once("<main").and_then(|(_, rest)| rest.split_once("</main>")).map_or(page, |(main, _)| main);
    let mut lines = vec![String::new()];
    let mut rest = main.split_once('>').map_or("", |(_, rest)| rest);
    loop {
        let (words, after) = rest.split_once('<').unwrap_or((rest, ""));
        if let Some(line) = lines.last_mut() {
            line.push_str(words);
        }
        let Some((inside, left)) = after.split_once('>') else { break };
        if ["/tr", "/h1", "/h2", "/p", "/dd", "/pre", "/li"].contains(&inside) {
            lines.push(String::new());
        } else if inside.starts_with("/t") || inside.starts_with("/dt") {
            lines.last_mut().unwrap().push(' ');
        }
        rest = left;
    }
    let lines = lines.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let text: String = lines.filter(|line| !line.is_empty()).map(|line| line + "\n").collect();
    let entities = [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")];
    entities.iter().fold(text, |text, (entity, c)| text.replace(entity, c))
}
