//! Controls: every one of a catalogue with its finding, and one with all that speaks to it.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Html;
use domain::{Bearing, CheckId, FindingValue, FrameworkId, LinkState, SourceId};
use query::{ControlView, LinkView};

use super::card::{Card, ControlLink, control_links};
use super::shown::{self, Mark};
use super::{Frame, laid_out};
use crate::api::{DEVIATIONS_NOW, control_in, controls_in};
use crate::backend::Asked;
use crate::problem::Problem;

/// A control, laid out.
struct Control {
    view: ControlView,
    mark: Mark,
    reason: &'static str,
    links: Vec<Link>,
}

/// A check that speaks to a control, laid out.
struct Link {
    view: LinkView,
    /// What stands out of it.
    mark: Mark,
    bearing: &'static str,
}

impl Control {
    fn of(view: ControlView) -> Control {
        Control {
            mark: shown::finding(view.value),
            reason: view.because(),
            links: view.links.iter().cloned().map(Link::of).collect(),
            view,
        }
    }
}

impl Link {
    fn of(view: LinkView) -> Link {
        let mark = says(&view.state, view.stale);
        let bearing = match view.state.bearing {
            Bearing::Proves => "proves",
            Bearing::Supports => "supports",
        };
        Link { mark, bearing, view }
    }
}

const UNSEEN: Mark = shown::UNSEEN_MARK;

/// What one check of one source says for a control. A deviation outweighs whatever could not be seen; what could not be
/// seen, or was seen too long ago, outweighs whatever conforms.
fn says(state: &LinkState, stale: bool) -> Mark {
    match &state.counts {
        _ if state.source.is_none() => Mark { word: "no source feeds it", ..UNSEEN },
        _ if state.open > 0 => Mark { word: "deviates", ..shown::BAD_MARK },
        None => Mark { word: "has not run yet", ..UNSEEN },
        Some(counts) if counts.deviates > 0 => Mark { word: "deviates", ..shown::BAD_MARK },
        Some(_) if stale => Mark { word: "too old", ..UNSEEN },
        Some(counts) if counts.undetermined > 0 || !state.complete => Mark { word: "undetermined", ..UNSEEN },
        Some(counts) if counts.conforms > 0 => Mark { word: "conforms", ..shown::GOOD_MARK },
        Some(_) => Mark { word: "nothing to assess", ..UNSEEN },
    }
}

#[derive(Template)]
#[template(path = "controls.html")]
struct Controls {
    frame: Frame,
    framework: FrameworkId,
    title: String,
    edition: String,
    replaced_by: Option<FrameworkId>,
    controls: Vec<Control>,
    /// How many controls have which finding.
    tally: Vec<(Mark, u64)>,
}

pub(super) async fn all(State(asked): State<Asked>, Path(framework): Path<String>) -> Result<Html<String>, Problem> {
    laid_out(&asked, move |query| {
        let (framework, views) = controls_in(query, &framework)?;
        use FindingValue::{Conforming, Excepted, Nonconforming, NotApplicable, NotEvidenced};
        let tally =
            [Nonconforming, Excepted, NotEvidenced, Conforming, NotApplicable].into_iter().filter_map(|value| {
                let count = views.iter().filter(|view| view.value == value).count() as u64;
                (count > 0).then(|| (shown::finding(value), count))
            });
        let info = query.catalogue.frameworks.get(&framework);
        Ok(Controls {
            frame: Frame::of(query, framework.as_str())?,
            title: info.map_or_else(String::new, |info| info.title.clone()),
            edition: info.map_or_else(String::new, |info| info.edition.clone()),
            replaced_by: info.and_then(|info| info.replaced_by.clone()),
            tally: tally.collect(),
            controls: views.into_iter().map(Control::of).collect(),
            framework,
        })
    })
    .await
}

#[derive(Template)]
#[template(path = "control.html")]
struct One {
    frame: Frame,
    framework_title: String,
    replaced_by: Option<FrameworkId>,
    /// Numbers of other catalogues on the same subject.
    corresponds: Vec<ControlLink>,
    control: Control,
    /// Open deviations of the checks that speak to it, the worst first, and how many there are.
    deviations: Vec<Card>,
    total: u64,
}

pub(super) async fn one(
    State(asked): State<Asked>,
    Path((framework, control)): Path<(String, String)>,
) -> Result<Html<String>, Problem> {
    laid_out(&asked, move |query| {
        let view = control_in(query, &framework, &control)?;
        let speaks = |check: &Option<CheckId>, source: &SourceId| {
            view.links
                .iter()
                .any(|link| Some(&link.state.check) == check.as_ref() && link.state.source.as_ref() == Some(source))
        };
        let mut open = query.open_deviations()?;
        open.retain(|alert| speaks(&alert.check, &alert.source));
        let info = query.catalogue.frameworks.get(&view.framework);
        Ok(One {
            frame: Frame::of(query, view.framework.as_str())?,
            framework_title: info.map_or_else(String::new, |info| info.title.clone()),
            replaced_by: info.and_then(|info| info.replaced_by.clone()),
            corresponds: control_links(view.corresponds.clone()),
            total: open.len() as u64,
            deviations: open.into_iter().take(DEVIATIONS_NOW).map(Card::of).collect(),
            control: Control::of(view),
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use domain::{CheckCounts, Duration};

    use super::*;

    #[test]
    fn only_what_was_seen_whole_and_lately_is_said_to_conform() {
        let counts =
            |conforms, deviates, undetermined| CheckCounts { conforms, deviates, undetermined, not_applicable: 1 };
        let table = [
            (None, true, 0, false, "has not run yet"),
            (None, true, 1, false, "deviates"),
            (Some(counts(5, 0, 0)), true, 0, false, "conforms"),
            (Some(counts(5, 0, 0)), false, 0, false, "undetermined"),
            (Some(counts(5, 0, 0)), true, 0, true, "too old"),
            (Some(counts(5, 0, 0)), true, 1, false, "deviates"),
            (Some(counts(5, 0, 1)), true, 0, false, "undetermined"),
            (Some(counts(5, 1, 1)), false, 0, true, "deviates"),
            (Some(counts(0, 0, 0)), true, 0, false, "nothing to assess"),
        ];
        for (counts, complete, open, stale, word) in table {
            let state = LinkState {
                check: "keycloak.realm.brute_force".parse().unwrap(),
                bearing: Bearing::Proves,
                source: "keycloak:acme".parse().ok(),
                counts,
                complete,
                open,
                at: None,
                greatest_age: Duration::ZERO,
            };
            let mark = says(&state, stale);
            assert_eq!(mark.word, word, "{state:?}");
            assert_eq!(mark.class == "good", word == "conforms", "{state:?}");
            assert_eq!(says(&LinkState { source: None, ..state }, stale).word, "no source feeds it");
        }
    }
}
