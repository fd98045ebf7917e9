//! What the owner asks of the running daemon about what may still be opened: erasures, legal holds and their release.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use domain::{Pseudonym, ResourceKey, ResourceType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backend::Asked;
use crate::problem::Problem;

/// The body of `POST /api/v1/erasures`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EraseAsked {
    /// What to erase.
    pub resources: Vec<ResourceKey>,
    /// Words to look for in answers beside ids, names and addresses.
    pub also_named: Vec<String>,
    /// Why, in words that name nobody: it stands in the ledger for ever.
    pub because: String,
    /// Who asked for it.
    pub by: String,
}

/// What was erased, or would be: the answer to `POST /api/v1/erasures`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Erased {
    /// The records.
    pub erased: Vec<ErasedRecord>,
    /// Answers in which one of them stood; each goes as a whole.
    pub answers: u64,
    /// What speaks of them and stays.
    pub left: Vec<LeftBodies>,
    /// The entries of the legal holds that forbid it.
    pub held_by: BTreeSet<u64>,
    /// Packages that may hold them.
    pub packages: Vec<PackageSent>,
    /// Receivers that were told of a deviation of them.
    pub receivers: BTreeSet<String>,
    /// The entries that say so; none when nothing was erased.
    pub entries: Vec<u64>,
    /// Nothing was erased: this is what would be.
    pub dry_run: bool,
}

/// A record that was erased.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ErasedRecord {
    /// What kind of resource it was of.
    #[serde(rename = "type")]
    pub kind: ResourceType,
    /// Its pseudonym, which leads to nobody any more.
    pub resource: Pseudonym,
    /// Bodies of its own.
    pub bodies: u64,
}

/// Bodies that speak of what was erased, and stay. One of the first three is there.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct LeftBodies {
    /// They are of the record of another resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<ResourceKey>,
    /// They are lists of the ledger's own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lists: bool,
    /// They are from before bodies were sealed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsealed: bool,
    /// How many there are.
    pub bodies: u64,
}

/// A package that was made before an erasure.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PackageSent {
    /// The entry that records it.
    pub export: u64,
    /// Whom it was for.
    pub recipient: String,
}

/// The body of `POST /api/v1/holds`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldAsked {
    /// What to hold; everything when none is named.
    pub resources: Vec<ResourceKey>,
    /// Why, in words that name nobody: it stands in the ledger for ever.
    pub because: String,
    /// Who asks for it.
    pub asked_by: String,
    /// Who approved it: somebody else.
    pub approved_by: String,
}

/// The body of `POST /api/v1/releases`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseAsked {
    /// The entry of the hold.
    pub hold: u64,
    /// Why, in words that name nobody: it stands in the ledger for ever.
    pub because: String,
    /// Who asks for it.
    pub asked_by: String,
    /// Who approved it: somebody else.
    pub approved_by: String,
}

/// The answer to `POST /api/v1/holds` and `POST /api/v1/releases`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HoldAnswer {
    /// The entry that says so.
    pub entry: u64,
}

/// The largest of these bodies, in bytes: a hold names up to 128 resources.
pub(crate) const GREATEST: usize = 128 * 1024;

type Body<T> = Result<Json<T>, JsonRejection>;
type Done<T> = Result<(StatusCode, Json<T>), Problem>;

pub(crate) async fn erase(State(asked): State<Asked>, body: Body<EraseAsked>) -> Done<Erased> {
    let wanted = read(body, "evidenced erase says what it wants by itself")?;
    asked.can_do()?;
    let erased = asked.backend().erase(wanted).await.map_err(refused)?;
    Ok((StatusCode::ACCEPTED, Json(erased)))
}

pub(crate) async fn hold(State(asked): State<Asked>, body: Body<HoldAsked>) -> Done<HoldAnswer> {
    let wanted = read(body, "evidenced hold says what it wants by itself")?;
    asked.can_do()?;
    let entry = asked.blocking(move |backend| backend.hold(&wanted).map_err(refused)).await?;
    Ok((StatusCode::ACCEPTED, Json(HoldAnswer { entry })))
}

pub(crate) async fn release(State(asked): State<Asked>, body: Body<ReleaseAsked>) -> Done<HoldAnswer> {
    let wanted = read(body, "evidenced release says what it wants by itself")?;
    asked.can_do()?;
    let entry = asked.blocking(move |backend| backend.release(&wanted).map_err(refused)).await?;
    Ok((StatusCode::ACCEPTED, Json(HoldAnswer { entry })))
}

fn read<T>(body: Body<T>, remedy: &str) -> Result<T, Problem> {
    let refused = |error: JsonRejection| Problem::new(error.status(), error.body_text(), remedy);
    body.map(|Json(wanted)| wanted).map_err(refused)
}

fn refused(why: String) -> Problem {
    Problem::new(StatusCode::CONFLICT, why, "evidenced erase, hold and release say how they are asked")
}
