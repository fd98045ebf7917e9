//! The API under `/api/v1`: the read layer's own shapes as JSON. Checkpoints and proofs are text, as C2SP writes them.

use std::sync::LazyLock;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query as Params, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use domain::{ControlId, FrameworkId, RowAddress, StreamId, Timestamp};
use query::{Alert, ChangeView, ControlView, EntryView, FrameworkView, Overview, Query, RowView, StreamView};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backend::Asked;
use crate::openapi::{self, Answer, Route, schema_of};
use crate::privacy::{self, EraseAsked, Erased, HoldAnswer, HoldAsked, ReleaseAsked};
use crate::problem::Problem;

/// A part of a list, and what was left out of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ListingOf{T}")]
pub struct Listing<T> {
    /// This part.
    pub items: Vec<T>,
    /// The most that this part could hold.
    pub limit: usize,
    /// How many there are in all, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<usize>,
    /// There are more than stand here.
    pub more: bool,
    /// Where the next part is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What the first page shows, and what was left out of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NowView {
    /// Changes, deviations, streams.
    #[serde(flatten)]
    pub overview: Overview,
    /// How many deviations are open; `deviations` holds the worst [`DEVIATIONS_NOW`] of them.
    pub deviations_total: usize,
    /// There are more changes than stand here: see `/api/v1/changes`.
    pub changes_more: bool,
}

/// The body of `POST /api/v1/run-now`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunNowAsked {
    /// A stream (`keycloak:acme/realm`), a source for all of its streams, or nothing for everything.
    #[serde(default)]
    pub what: Option<String>,
}

/// The answer to `POST /api/v1/run-now`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RunNowAnswer {
    /// The streams that will run.
    pub streams: Vec<StreamId>,
}

/// The body of `POST /api/v1/exports`: a package that was made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportAsked {
    /// Whom it is for.
    pub recipient: String,
    /// The controls or streams in it.
    pub of: Vec<String>,
    /// The first moment of its period.
    pub from: Timestamp,
    /// The moment that ends it.
    pub to: Timestamp,
    /// Entries in it.
    pub entries: u64,
    /// Rows of observations in it.
    pub rows: u64,
    /// Bodies that its entries name and that were left out.
    pub withheld: u64,
    /// What was hidden, as `type.field`.
    pub hidden: Vec<String>,
    /// SHA-256 of the list of its files, 64 hexadecimal digits.
    pub digest: String,
}

/// The answer to `POST /api/v1/exports`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExportAnswer {
    /// The entry that says so.
    pub entry: u64,
}

/// Changes on the first page.
pub(crate) const CHANGES_NOW: usize = 20;
/// Deviations on the first page.
pub(crate) const DEVIATIONS_NOW: usize = 100;
/// The most that one answer lists, however much is asked for.
pub(crate) const GREATEST_LIMIT: usize = 1000;
/// The largest body that tells of an export, in bytes: it names every control and stream in the package.
const GREATEST_EXPORT: usize = 64 * 1024;
/// What it lists when nothing is asked for.
const USUAL_LIMIT: usize = 100;

pub(crate) fn routes(asked: Asked) -> Router {
    reading().into_iter().fold(Router::new(), |router, route| router.route(route.path, route.answers)).with_state(asked)
}

/// What only the daemon's owner may ask.
pub(crate) fn control(asked: Asked) -> Router {
    owner().into_iter().fold(Router::new(), |router, route| router.route(route.path, route.answers)).with_state(asked)
}

/// The description of the API by OpenAPI 3.1, as JSON.
pub fn openapi() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| openapi::description(&reading(), &owner()));
    &TEXT
}

/// Everything that may be read. A route is here with what it is, so none is without a description.
fn reading() -> Vec<Route> {
    let read = |path, id, gives, answers, form| Route { path, answers, id, gives, query: &[], form, body: None };
    vec![
        read("/api/v1/overview", "overview", "what the first page shows", get(overview), Answer::json::<NowView>()),
        Route {
            query: &["before", "limit"],
            ..read(
                "/api/v1/changes",
                "changes",
                "what changed, newest first",
                get(changes),
                Answer::json::<Listing<ChangeView>>(),
            )
        },
        Route {
            query: &["from", "limit"],
            ..read(
                "/api/v1/deviations",
                "deviations",
                "what deviates, the worst first",
                get(deviations),
                Answer::json::<Listing<Alert>>(),
            )
        },
        read(
            "/api/v1/streams",
            "streams",
            "every source and how fresh it is",
            get(streams),
            Answer::json::<Listing<StreamView>>(),
        ),
        read(
            "/api/v1/controls",
            "frameworks",
            "the catalogues of controls in force",
            get(frameworks),
            Answer::json::<Listing<FrameworkView>>(),
        ),
        read(
            "/api/v1/controls/{framework}",
            "controls",
            "every control of a catalogue with its finding",
            get(controls),
            Answer::json::<Listing<ControlView>>(),
        ),
        read(
            "/api/v1/controls/{framework}/{control}",
            "control",
            "one control with its finding",
            get(control_of),
            Answer::json::<ControlView>(),
        ),
        read("/api/v1/entries/{entry}", "entry", "one entry, opened", get(entry), Answer::json::<EntryView>()),
        read(
            "/api/v1/entries/{entry}/proof",
            "proof",
            "the proof that an entry is in the ledger, a C2SP tlog-proof",
            get(proof),
            Answer::Text,
        ),
        Route {
            query: &["from", "limit"],
            ..read(
                "/api/v1/entries/{entry}/rows",
                "rows",
                "the rows of an entry, some at a time, each opened",
                get(rows),
                Answer::json::<Listing<RowView>>(),
            )
        },
        read(
            "/api/v1/entries/{entry}/{row}",
            "row",
            "one row of an entry, opened",
            get(row),
            Answer::json::<RowView>(),
        ),
        read(
            "/api/v1/checkpoint",
            "checkpoint",
            "the checkpoint that was signed last, a C2SP tlog-checkpoint",
            get(checkpoint),
            Answer::Text,
        ),
        read("/api/v1/openapi.json", "openapi", "this description", get(described), Answer::Document),
    ]
}

/// What the owner may ask besides.
fn owner() -> Vec<Route> {
    vec![
        Route {
            path: "/api/v1/run-now",
            answers: post(run_now),
            id: "run_now",
            gives: "the streams that will run now because they were asked to",
            query: &[],
            form: Answer::json::<RunNowAnswer>(),
            body: Some(schema_of::<RunNowAsked>),
        },
        Route {
            path: "/api/v1/exports",
            answers: post(export).layer(DefaultBodyLimit::max(GREATEST_EXPORT)),
            id: "export",
            gives: "the entry that records that a package was made",
            query: &[],
            form: Answer::json::<ExportAnswer>(),
            body: Some(schema_of::<ExportAsked>),
        },
        Route {
            path: "/api/v1/erasures",
            answers: post(privacy::erase).layer(DefaultBodyLimit::max(privacy::GREATEST)),
            id: "erase",
            gives: "what was erased, once no run was under way",
            query: &[],
            form: Answer::json::<Erased>(),
            body: Some(schema_of::<EraseAsked>),
        },
        Route {
            path: "/api/v1/holds",
            answers: post(privacy::hold).layer(DefaultBodyLimit::max(privacy::GREATEST)),
            id: "hold",
            gives: "the entry that records a legal hold",
            query: &[],
            form: Answer::json::<HoldAnswer>(),
            body: Some(schema_of::<HoldAsked>),
        },
        Route {
            path: "/api/v1/releases",
            answers: post(privacy::release),
            id: "release",
            gives: "the entry that records the release of a legal hold",
            query: &[],
            form: Answer::json::<HoldAnswer>(),
            body: Some(schema_of::<ReleaseAsked>),
        },
    ]
}

/// Which part of a list is wanted.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    /// Entries before this one.
    before: Option<u64>,
    /// After this many.
    from: Option<usize>,
    /// At most this many.
    limit: Option<usize>,
}

impl Part {
    pub(crate) fn read(params: Result<Params<Part>, QueryRejection>) -> Result<Part, Problem> {
        let remedy = "give whole numbers: limit, and before (for changes) or from (for deviations)";
        params.map(|Params(part)| part).map_err(|error| Problem::unreadable(error.body_text(), remedy))
    }

    /// At least one, at most [`GREATEST_LIMIT`].
    pub(crate) fn limit(self, usual: usize) -> usize {
        self.limit.unwrap_or(usual).clamp(1, GREATEST_LIMIT)
    }

    pub(crate) fn from(self) -> usize {
        self.from.unwrap_or(0)
    }
}

/// The first page's facts.
pub(crate) fn now_view(query: &Query<'_>) -> Result<NowView, Problem> {
    let mut overview = query.overview(CHANGES_NOW + 1)?;
    let (deviations_total, changes_more) = (overview.deviations.len(), overview.changes.len() > CHANGES_NOW);
    overview.deviations.truncate(DEVIATIONS_NOW);
    overview.changes.truncate(CHANGES_NOW);
    Ok(NowView { overview, deviations_total, changes_more })
}

/// A part of what changed, newest first.
pub(crate) fn changes_part(query: &Query<'_>, part: Part, usual: usize) -> Result<Listing<ChangeView>, Problem> {
    let limit = part.limit(usual);
    let mut items = query.changes(part.before, limit + 1)?;
    let more = items.len() > limit;
    items.truncate(limit);
    let last = items.last().filter(|_| more).map(|change| change.entry);
    let next = last.map(|before| format!("/api/v1/changes?before={before}&limit={limit}"));
    Ok(Listing { items, limit, total: None, more, next })
}

/// A part of what deviates, the worst first.
pub(crate) fn deviations_part(query: &Query<'_>, part: Part, usual: usize) -> Result<Listing<Alert>, Problem> {
    let (limit, from) = (part.limit(usual), part.from());
    let all = query.open_deviations()?;
    let total = all.len();
    let items: Vec<Alert> = all.into_iter().skip(from).take(limit).collect();
    let end = from.saturating_add(items.len());
    let more = end < total && !items.is_empty();
    let next = more.then(|| format!("/api/v1/deviations?from={end}&limit={limit}"));
    Ok(Listing { items, limit, total: Some(total), more, next })
}

/// All controls of a catalogue.
pub(crate) fn controls_in(query: &Query<'_>, framework: &str) -> Result<(FrameworkId, Vec<ControlView>), Problem> {
    let known: Vec<&str> = query.catalogue.frameworks.keys().map(FrameworkId::as_str).collect();
    let unknown = || Problem::unknown("there is no such catalogue", format!("there is {}", known.join(", ")));
    let id: FrameworkId = framework.parse().map_err(|_| unknown())?;
    let controls = query.controls(&id)?.ok_or_else(unknown)?;
    Ok((id, controls))
}

/// One control.
pub(crate) fn control_in(query: &Query<'_>, framework: &str, control: &str) -> Result<ControlView, Problem> {
    let (id, controls) = controls_in(query, framework)?;
    let unknown = || Problem::unknown(format!("{id} has no such control"), format!("see /controls/{id}"));
    let control: ControlId = control.parse().map_err(|_| unknown())?;
    controls.into_iter().find(|view| view.control == control).ok_or_else(unknown)
}

/// One entry, opened.
pub(crate) fn entry_in(query: &Query<'_>, number: &str) -> Result<EntryView, Problem> {
    let size = query.ledger()?.size;
    let unknown = || no_entry(size);
    let number: u64 = number.parse().map_err(|_| unknown())?;
    query.entry_view(number)?.ok_or_else(unknown)
}

/// One row, opened.
pub(crate) fn row_in(query: &Query<'_>, number: &str, row: &str) -> Result<RowView, Problem> {
    let entry = entry_in(query, number)?;
    let unknown = || {
        let rows = format!("entry #{} has {} rows, numbered from 0", entry.entry, entry.rows);
        Problem::unknown("there is no such row", rows)
    };
    let row: u32 = row.parse().map_err(|_| unknown())?;
    query.row_view(RowAddress { entry: entry.entry, row: Some(row) })?.ok_or_else(unknown)
}

/// Some rows of an entry, opened.
fn rows_part(query: &Query<'_>, number: &str, part: Part) -> Result<Listing<RowView>, Problem> {
    let entry = entry_in(query, number)?;
    let (limit, from) = (part.limit(USUAL_LIMIT), part.from());
    let number = |row: usize| u32::try_from(row).unwrap_or(u32::MAX);
    let end = from.saturating_add(limit);
    let items = query.rows_view(entry.entry, number(from), number(end))?;
    let total = usize::try_from(entry.rows).unwrap_or(usize::MAX);
    let more = end < total && !items.is_empty();
    let next = more.then(|| format!("/api/v1/entries/{}/rows?from={end}&limit={limit}", entry.entry));
    Ok(Listing { items, limit, total: Some(total), more, next })
}

fn no_entry(size: u64) -> Problem {
    Problem::unknown("there is no such entry", format!("the ledger holds {size} entries, numbered from 0"))
}

type Answered<T> = Result<Json<T>, Problem>;

async fn overview(State(asked): State<Asked>) -> Answered<NowView> {
    asked.ask(now_view).await.map(Json)
}

async fn changes(
    State(asked): State<Asked>,
    part: Result<Params<Part>, QueryRejection>,
) -> Answered<Listing<ChangeView>> {
    let part = Part::read(part)?;
    asked.ask(move |query| changes_part(query, part, USUAL_LIMIT)).await.map(Json)
}

async fn deviations(
    State(asked): State<Asked>,
    part: Result<Params<Part>, QueryRejection>,
) -> Answered<Listing<Alert>> {
    let part = Part::read(part)?;
    asked.ask(move |query| deviations_part(query, part, USUAL_LIMIT)).await.map(Json)
}

async fn streams(State(asked): State<Asked>) -> Answered<Listing<StreamView>> {
    asked.ask(|query| Ok(whole(query.streams()?))).await.map(Json)
}

async fn frameworks(State(asked): State<Asked>) -> Answered<Listing<FrameworkView>> {
    asked.ask(|query| Ok(whole(query.frameworks()))).await.map(Json)
}

async fn controls(State(asked): State<Asked>, Path(framework): Path<String>) -> Answered<Listing<ControlView>> {
    asked.ask(move |query| Ok(whole(controls_in(query, &framework)?.1))).await.map(Json)
}

async fn control_of(
    State(asked): State<Asked>,
    Path((framework, control)): Path<(String, String)>,
) -> Answered<ControlView> {
    asked.ask(move |query| control_in(query, &framework, &control)).await.map(Json)
}

async fn entry(State(asked): State<Asked>, Path(number): Path<String>) -> Answered<EntryView> {
    asked.ask(move |query| entry_in(query, &number)).await.map(Json)
}

async fn row(State(asked): State<Asked>, Path((number, row)): Path<(String, String)>) -> Answered<RowView> {
    asked.ask(move |query| row_in(query, &number, &row)).await.map(Json)
}

async fn rows(
    State(asked): State<Asked>,
    Path(number): Path<String>,
    part: Result<Params<Part>, QueryRejection>,
) -> Answered<Listing<RowView>> {
    let part = Part::read(part)?;
    asked.ask(move |query| rows_part(query, &number, part)).await.map(Json)
}

async fn proof(State(asked): State<Asked>, Path(number): Path<String>) -> Result<impl IntoResponse, Problem> {
    let none = || Problem::unknown("there is no proof of this entry yet", "ask again when it is signed");
    asked.ask(move |query| entry_in(query, &number)?.proof.ok_or_else(none)).await.map(text)
}

async fn described() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], openapi())
}

async fn checkpoint(State(asked): State<Asked>) -> Result<impl IntoResponse, Problem> {
    asked.ask(|query| Ok(query.ledger()?.checkpoint)).await.map(text)
}

async fn run_now(
    State(asked): State<Asked>,
    body: Result<Json<RunNowAsked>, JsonRejection>,
) -> Result<(StatusCode, Json<RunNowAnswer>), Problem> {
    let Json(wanted) = body.map_err(|error| {
        let remedy = r#"send {"what": "keycloak:acme/realm"} or {"what": null}, as application/json"#;
        Problem::new(error.status(), error.body_text(), remedy)
    })?;
    asked.can_do()?;
    let refused = |why| Problem::new(StatusCode::CONFLICT, why, "evidenced list sources names what there is");
    let streams = asked.backend().run_now(wanted.what.as_deref()).await.map_err(refused)?;
    Ok((StatusCode::ACCEPTED, Json(RunNowAnswer { streams })))
}

async fn export(
    State(asked): State<Asked>,
    body: Result<Json<ExportAsked>, JsonRejection>,
) -> Result<(StatusCode, Json<ExportAnswer>), Problem> {
    let Json(export) = body.map_err(|error| {
        Problem::new(error.status(), error.body_text(), "evidenced package says what was made by itself")
    })?;
    asked.can_do()?;
    let refused = |why| Problem::new(StatusCode::CONFLICT, why, "look at the daemon's log");
    let entry = asked.blocking(move |backend| backend.export(&export).map_err(refused)).await?;
    Ok((StatusCode::ACCEPTED, Json(ExportAnswer { entry })))
}

/// A list that is bounded by the settings or by a catalogue, and so stands here whole.
fn whole<T>(items: Vec<T>) -> Listing<T> {
    Listing { limit: items.len(), total: Some(items.len()), more: false, next: None, items }
}

fn text(text: String) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text)
}
