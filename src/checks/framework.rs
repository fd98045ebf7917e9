//! A catalogue of controls: ids, short titles and our own words on what is usually asked for. Never a standard's text.

use std::collections::{BTreeMap, BTreeSet};

use domain::{ControlId, FrameworkId};
use serde::Deserialize;

use crate::load::problems_of;
use crate::problem::{Problem, did_you_mean};
use crate::yaml::Document;

/// A catalogue in one edition.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Framework {
    /// Its name: `iso27001-2022`.
    pub id: FrameworkId,
    /// Its title.
    pub title: String,
    /// Which edition.
    pub edition: String,
    /// The catalogue of the edition that took its place, when it was withdrawn.
    #[serde(default)]
    pub replaced_by: Option<FrameworkId>,
    /// Who owns the text, and what this file holds of it.
    pub copyright: String,
    /// Where its contents come from.
    #[serde(default)]
    pub sources: Vec<String>,
    /// The groups its controls fall into.
    pub themes: Vec<Theme>,
    /// The controls, in the catalogue's order.
    pub controls: Vec<Control>,
}

/// A group of controls.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Theme {
    /// Its name, as controls give it.
    pub id: String,
    /// Its title.
    pub title: String,
    /// The clause that holds it.
    #[serde(default)]
    pub clause: Option<u32>,
    /// How many controls it has; a catalogue that says otherwise than it holds is refused.
    pub controls: usize,
}

/// A control.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// Its number.
    pub id: ControlId,
    /// Its short title.
    pub title: String,
    /// The group it is in.
    pub theme: String,
    /// How much of it a machine can show.
    #[serde(default)]
    pub automation: Option<Automation>,
    /// What an auditor usually wants to see, in our own words.
    #[serde(default)]
    pub asks: Vec<String>,
    /// Attribute values by attribute: `control_type: [preventive]`.
    #[serde(default)]
    pub attributes: BTreeMap<String, Vec<String>>,
    /// For whom the standard gives guidance on it, where it tells customers and providers of a service apart.
    #[serde(default)]
    pub roles: Vec<Role>,
    /// Controls of other catalogues on the same subject, by catalogue: how an edition's numbers are found in another.
    /// Nothing is concluded from it; a check speaks only for the controls that it names itself.
    #[serde(default)]
    pub corresponds: BTreeMap<FrameworkId, Vec<ControlId>>,
}

/// Who uses a service, and who offers it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Who uses it.
    Customer,
    /// Who offers it.
    Provider,
}

impl Role {
    /// The word that people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Customer => "customer",
            Role::Provider => "provider",
        }
    }
}

/// How much of a control machine evidence can show.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Automation {
    /// Machine evidence shows that it works.
    Full,
    /// Machine evidence and a person's document or decision are both needed.
    Partial,
    /// A person's document or sign-off is the evidence.
    Attested,
}

impl Automation {
    /// The word that people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Automation::Full => "full",
            Automation::Partial => "partial",
            Automation::Attested => "attested",
        }
    }
}

impl Framework {
    /// Reads a catalogue, and refuses one that contradicts itself.
    pub fn read(file: &str, text: &str) -> Result<Framework, Vec<Problem>> {
        let document = Document::read(file, text)?;
        let framework: Framework = document.parse()?;
        let problems = framework.contradictions(&document);
        if problems.is_empty() { Ok(framework) } else { Err(problems) }
    }

    /// A control by its number.
    pub fn control(&self, id: &ControlId) -> Option<&Control> {
        self.controls.iter().find(|control| control.id == *id)
    }

    /// What it says of other catalogues that is not so: a name that none of those in force has.
    pub(crate) fn strangers(&self, file: &str, text: &str, known: &BTreeMap<FrameworkId, Framework>) -> Vec<Problem> {
        let unknown = |path: &str, id: &FrameworkId| {
            let remedy = did_you_mean(id.as_str(), known.keys().map(FrameworkId::as_str));
            problems_of(file, text, path, format!("unknown framework {id}")).map(|problem| problem.with_remedy(remedy))
        };
        let mut problems = Vec::new();
        if let Some(id) = self.replaced_by.as_ref().filter(|id| !known.contains_key(id)) {
            problems.extend(unknown("replaced_by", id));
        }
        for (place, control) in self.controls.iter().enumerate() {
            for (id, theirs) in &control.corresponds {
                let here = format!("controls[{place}].corresponds.{id}");
                let Some(other) = known.get(id) else {
                    problems.extend(unknown(&here, id));
                    continue;
                };
                for (item, named) in theirs.iter().enumerate().filter(|(_, named)| other.control(named).is_none()) {
                    let remedy = did_you_mean(named.as_str(), other.controls.iter().map(|control| control.id.as_str()));
                    let problem =
                        problems_of(file, text, &format!("{here}[{item}]"), format!("{id} has no control {named}"));
                    problems.extend(problem.map(|problem| problem.with_remedy(remedy)));
                }
            }
        }
        problems
    }

    fn contradictions(&self, document: &Document) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.controls.is_empty() {
            problems.push(document.problem("controls", "a catalogue without controls"));
        }
        let mut seen = BTreeSet::new();
        for (place, control) in self.controls.iter().enumerate() {
            let at = |key: &str| format!("controls[{place}].{key}");
            if !seen.insert(&control.id) {
                problems.push(document.problem(&at("id"), format!("the control {} stands here twice", control.id)));
            }
            if control.title.trim().is_empty() {
                problems.push(document.problem(&at("title"), "empty").with_remedy("give the short title"));
            }
            if !self.themes.iter().any(|theme| theme.id == control.theme) {
                let remedy = did_you_mean(&control.theme, self.themes.iter().map(|theme| theme.id.as_str()));
                let message = format!("unknown theme {:?}", control.theme);
                problems.push(document.problem(&at("theme"), message).with_remedy(remedy));
            }
        }
        for (place, theme) in self.themes.iter().enumerate() {
            let held = self.controls.iter().filter(|control| control.theme == theme.id).count();
            if held != theme.controls {
                let message = format!("says {} controls, but {held} have this theme", theme.controls);
                problems.push(document.problem(&format!("themes[{place}].controls"), message));
            }
        }
        problems
    }
}
