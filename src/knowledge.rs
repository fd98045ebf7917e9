//! What is known beside what is recorded: the checks and catalogues in force, and who answers for which source.

use std::collections::BTreeMap;

use checks::{CheckSet, Problem};
use domain::{ControlAddress, ControlId, FrameworkId};
use kit::AnySource;
use query::{Catalogue, CheckInfo, ControlInfo, FrameworkInfo, SourceInfo};

/// Checks and catalogues, and the plain data about them that answers need.
pub struct Knowledge {
    /// The checks and catalogues in force.
    pub checks: CheckSet,
    /// The same as plain data, with the sources and their owners.
    pub catalogue: Catalogue,
}

impl Knowledge {
    /// The checks of this binary, and no sources.
    pub fn embedded() -> Result<Knowledge, String> {
        let said = |problems: Vec<Problem>| problems.iter().map(Problem::headline).collect::<Vec<_>>().join("; ");
        Ok(Knowledge::new(CheckSet::embedded().map_err(said)?, "", "", &[]))
    }

    /// The given checks, and the sources as configured. `page` is the address that permalinks begin with.
    pub fn new(checks: CheckSet, organisation: &str, page: &str, sources: &[(String, &dyn AnySource)]) -> Knowledge {
        let mut catalogue = Catalogue {
            organisation: organisation.to_owned(),
            permalink_base: page.trim_end_matches('/').to_owned(),
            sources: BTreeMap::new(),
            checks: checks.checks().map(|check| (check.id().clone(), check_info(check))).collect(),
            frameworks: checks
                .frameworks()
                .map(|framework| (framework.id.clone(), framework_info(framework)))
                .collect(),
        };
        for (_, source) in sources {
            // Settings with a name that makes no id never come to be in force.
            let Ok(id) = source.id() else { continue };
            let collectors = source.kind().collectors.iter().filter_map(|c| c.name.parse().ok()).collect();
            catalogue.sources.insert(id, SourceInfo { owner: source.common().owner.to_owned(), collectors });
        }
        Knowledge { checks, catalogue }
    }
}

fn check_info(check: &checks::Check) -> CheckInfo {
    CheckInfo {
        title: check.title().to_owned(),
        problem: check.problem().to_owned(),
        severity: check.severity(),
        severity_why: check.severity_why().to_owned(),
        first_action: check.first_action().to_owned(),
        kind: check.resource().clone(),
        source_kind: check.needs().source.clone(),
        collector: check.needs().collector.clone(),
        mappings: check.mappings().to_vec(),
        greatest_age: check.greatest_age(),
        version: check.version().to_owned(),
    }
}

fn framework_info(framework: &checks::Framework) -> FrameworkInfo {
    let corresponds = |control: &checks::Control| {
        let of = |(framework, theirs): (&FrameworkId, &Vec<ControlId>)| {
            let address =
                |control: &ControlId| ControlAddress { framework: framework.clone(), control: control.clone() };
            theirs.iter().map(address).collect::<Vec<_>>()
        };
        control.corresponds.iter().flat_map(of).collect()
    };
    let controls = framework.controls.iter().map(|control| ControlInfo {
        id: control.id.clone(),
        title: control.title.clone(),
        roles: control.roles.iter().map(|role| role.as_str().to_owned()).collect(),
        corresponds: corresponds(control),
    });
    FrameworkInfo {
        title: framework.title.clone(),
        edition: framework.edition.clone(),
        replaced_by: framework.replaced_by.clone(),
        controls: controls.collect(),
    }
}
