//! Runs against what an AWS account once answered, through the public door. `BLESS=1` accepts a run as expected.

use std::collections::{BTreeMap, BTreeSet};

use domain::{CollectionRun, Field, Gap, GapReason, Outcome};
use kit::testing::{Fixture, Harness, check_kind};
use kit::{AnySource, Common, ConnectError, FieldProblem, Kind, Manners, SecretRef, Secrets, Transport};
use serde_json::{Value, json};
use url::Url;

use super::*;

const HERE: &str = env!("CARGO_MANIFEST_DIR");
const NUMBER: &str = "111122223333";

fn config(url: Url) -> Config {
    Config {
        name: "prod".to_owned(),
        owner: "cloud-team".to_owned(),
        schedules: None,
        runbook: None,
        region: "eu-central-1".to_owned(),
        profile: None,
        access_key: Some(AccessKey {
            id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret: SecretRef::Env("AWS_SECRET".to_owned()),
            session_token: None,
        }),
        assume_role: None,
        accounts: Vec::new(),
        own_accounts: ["444455556666".to_owned()].into(),
        email_tag: "email".to_owned(),
        cloudtrail: false,
        endpoint_url: Some(url),
        ca_file: None,
    }
}

fn fixture(folder: &str) -> Fixture {
    Fixture::read(format!("{HERE}/fixtures/{folder}"))
}

fn harness(folder: &str) -> Harness {
    Harness::new(fixture(folder), |url| Box::new(config(url)))
}

fn expected(name: &str) -> String {
    format!("{HERE}/expected/{name}.json")
}

/// The same source in small pages, so that lists have pages that can be lost.
struct SmallPages(Config);

impl AnySource for SmallPages {
    fn kind(&self) -> Kind {
        self.0.kind()
    }
    fn id(&self) -> Result<domain::SourceId, domain::IdError> {
        self.0.id()
    }
    fn common(&self) -> Common<'_> {
        AnySource::common(&self.0)
    }
    fn problems(&self) -> Vec<FieldProblem> {
        self.0.problems()
    }
    fn manners(&self) -> Manners {
        self.0.manners()
    }
    fn transport(&self) -> Transport {
        AnySource::transport(&self.0)
    }
    fn connect(&self, secrets: &dyn Secrets) -> Result<Box<dyn Connector>, ConnectError> {
        let credentials = kit::Credentials::resolve(&kit::SourceConfig::secrets(&self.0), secrets).unwrap();
        let mut estate = self.0.estate(credentials)?;
        estate.page = 7;
        Ok(Box::new(estate))
    }
}

fn in_small_pages() -> Harness {
    Harness::new(fixture("mixed"), |url| Box::new(SmallPages(config(url))))
}

#[test]
fn what_it_says_of_itself_holds_together() {
    check_kind(&Kind::of::<Config>());
}

#[tokio::test]
async fn a_good_day_reads_the_account() {
    harness("mixed").good_day("account", expected("account")).await;
}

#[tokio::test]
async fn a_good_day_reads_the_credential_report() {
    harness("mixed").good_day("credentials", expected("credentials")).await;
}

#[tokio::test]
async fn a_good_day_reads_who_may_do_what() {
    harness("mixed").good_day("access", expected("access")).await;
}

#[tokio::test]
async fn bad_days_of_the_account_are_gaps() {
    in_small_pages().bad_days("account").await;
}

#[tokio::test]
async fn bad_days_of_the_credential_report_are_gaps() {
    in_small_pages().bad_days("credentials").await;
}

#[tokio::test]
async fn bad_days_of_who_may_do_what_are_gaps() {
    in_small_pages().bad_days("access").await;
}
