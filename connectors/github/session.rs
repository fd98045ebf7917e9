//! Signing in, and asking as the one we are taken for.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use domain::{GapReason, Timestamp};
use kit::view::{Mark, View};
use kit::{Answer, CallSpec, Pages, Recorder, Unread, Walked, http, walk_by_link};
use octocrab::AuthState;
use serde_json::Value;
use url::Url;

use crate::adapter::Signed;
use crate::spec::{EMAILS, MEMBERSHIP, TOKEN};
use crate::{Github, SignIn};

/// One run's dealings with an organisation. An App has a token of its own in each run, since an old one keeps rights
/// that were taken away.
pub(crate) struct Session<'a> {
    /// What the settings say.
    pub(crate) github: &'a Github,
    recorder: Arc<Recorder>,
    signed: Signed,
    standing: Standing,
    /// Who GitHub takes us for.
    pub(crate) caller: String,
}

/// What we are in the organisation.
enum Standing {
    /// An App, with what its installation was granted.
    App { permissions: BTreeSet<String>, all_repositories: bool },
    /// The holder of a token: an owner, another member, or somebody of whom that could not be read.
    Person { owner: Result<bool, Unread> },
}

impl<'a> Session<'a> {
    pub(crate) async fn open(github: &'a Github, recorder: Arc<Recorder>) -> Result<Self, Unread> {
        let signed = |auth| Signed::new(Arc::clone(&recorder), auth);
        match &github.sign_in {
            SignIn::App { installation, auth } => {
                let number = installation.to_string();
                let url = joined(&TOKEN, &github.rest, &["app", "installations", &number, "access_tokens"])?;
                let app = signed(AuthState::App(auth.clone()));
                let arrived = app.ask(&TOKEN, http::Method::POST, &url, Bytes::from_static(b"{}")).await?;
                let answer = recorder.kept(arrived).await?;
                let value = answer.json()?;
                let view = View::object(&value, answer.mark)?;
                let signed = signed(AuthState::AccessToken { token: view.text("token")?.into() });
                let granted = view.get("permissions").and_then(Value::as_object);
                let permissions = granted.ok_or_else(|| answer.mark.malformed("permissions is missing"))?;
                let standing = Standing::App {
                    permissions: permissions.keys().cloned().collect(),
                    all_repositories: view.text("repository_selection")? == "all",
                };
                let caller = format!("App {}, installation {installation}", auth.app_id);
                Ok(Session { github, recorder, signed, standing, caller })
            }
            SignIn::Token(token) => {
                let signed = signed(AuthState::AccessToken { token: token.clone() });
                let url = joined(&MEMBERSHIP, &github.rest, &["user", "memberships", "orgs", &github.organisation])?;
                let membership = match signed.ask(&MEMBERSHIP, http::Method::GET, &url, Bytes::new()).await {
                    Ok(arrived) => recorder.kept(arrived).await,
                    Err(unread) => Err(unread),
                };
                let membership = membership.map_err(hidden).and_then(|answer| read_membership(&answer));
                let (owner, caller) = match membership {
                    Ok((owner, login)) => (Ok(owner), login),
                    Err(unread) if unread.reason == GapReason::Unauthenticated => return Err(unread),
                    Err(unread) => (Err(unread), "the holder of a token".to_owned()),
                };
                Ok(Session { github, recorder, signed, standing: Standing::Person { owner }, caller })
            }
        }
    }

    /// Asks below the REST API's address.
    pub(crate) async fn get(
        &self,
        call: &'static CallSpec,
        segments: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Answer, Unread> {
        let mut url = joined(call, &self.github.rest, segments)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let arrived = self.signed.ask(call, http::Method::GET, &url, Bytes::new()).await?;
        self.recorder.kept(arrived).await.map_err(hidden)
    }

    /// Asks below the organisation.
    pub(crate) async fn org(
        &self,
        call: &'static CallSpec,
        segments: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Answer, Unread> {
        let path: Vec<&str> = ["orgs", &self.github.organisation].into_iter().chain(segments.iter().copied()).collect();
        self.get(call, &path, query).await
    }

    /// Walks a list to its end, page by page.
    ///
    /// Next links name the organisation or repository by its number (`/organizations/42/repos?page=2`), which is not the
    /// declared address. So their parameters are asked of ours; a link to another host is asked as it is, and refused.
    async fn walk(
        &self,
        call: &'static CallSpec,
        segments: &[&str],
        query: &[(&str, &str)],
        each: impl FnMut(Value, Mark) + Send,
    ) -> Walked {
        let own = match joined(call, &self.github.rest, segments) {
            Ok(own) => own,
            Err(unread) => return Walked { stopped: Some(unread), ..Walked::default() },
        };
        let mut first = own.clone();
        first.query_pairs_mut().append_pair("per_page", &self.github.page.to_string()).extend_pairs(query);
        let page = |at: Url| {
            let mut asked = at.clone();
            if at.origin() == own.origin() {
                asked.clone_from(&own);
                asked.set_query(at.query());
            }
            async move { self.signed.ask(call, http::Method::GET, &asked, Bytes::new()).await }
        };
        let walked = walk_by_link(&self.recorder, call, first, page, each).await;
        Walked { stopped: walked.stopped.map(hidden), ..walked }
    }

    /// The same for a list that is short by its nature, held whole.
    pub(crate) async fn list(&self, call: &'static CallSpec, segments: &[&str], query: &[(&str, &str)]) -> Pages {
        let mut items = Vec::new();
        let walked = self.walk(call, segments, query, |item, mark| items.push((item, mark))).await;
        Pages::of(items, walked)
    }

    /// Walks a list of the organisation to its end, page by page.
    pub(crate) async fn org_walk(
        &self,
        call: &'static CallSpec,
        segments: &[&str],
        query: &[(&str, &str)],
        each: impl FnMut(Value, Mark) + Send,
    ) -> Walked {
        let path: Vec<&str> = ["orgs", &self.github.organisation].into_iter().chain(segments.iter().copied()).collect();
        self.walk(call, &path, query, each).await
    }

    /// The same for a list that is short by its nature, held whole.
    pub(crate) async fn org_list(&self, call: &'static CallSpec, segments: &[&str], query: &[(&str, &str)]) -> Pages {
        let mut items = Vec::new();
        let walked = self.org_walk(call, segments, query, |item, mark| items.push((item, mark))).await;
        Pages::of(items, walked)
    }

    /// Asks by GraphQL.
    pub(crate) async fn graphql(&self, body: &Value) -> Result<Answer, Unread> {
        let url = joined(&EMAILS, &self.github.graphql, &["graphql"])?;
        let arrived = self.signed.ask(&EMAILS, http::Method::POST, &url, Bytes::from(body.to_string())).await?;
        self.recorder.kept(arrived).await
    }

    /// A gap for a list that came although the reader may not see all of it: GitHub lists public members to everybody.
    pub(crate) fn sees_members(&self, mark: Mark) -> Result<(), Unread> {
        match &self.standing {
            Standing::App { permissions, .. } if permissions.contains("members") => Ok(()),
            Standing::App { .. } => {
                Err(mark.unread(GapReason::Denied, "answered, but the App may not see members who are not public"))
            }
            Standing::Person { owner } => owner.as_ref().map(|_| ()).map_err(Unread::clone),
        }
    }

    /// A gap for a list of repositories that is not all of them.
    pub(crate) fn sees_repositories(&self, mark: Mark) -> Result<(), Unread> {
        match &self.standing {
            Standing::App { all_repositories: false, .. } => {
                let why = "the App is installed for selected repositories; the others stay unseen";
                Err(Unread { permission: None, ..mark.unread(GapReason::Denied, why) })
            }
            _ => Ok(()),
        }
    }

    /// Why it is not known what the holder of the token is in the organisation.
    pub(crate) fn unread_standing(&self) -> Option<&Unread> {
        match &self.standing {
            Standing::Person { owner: Err(unread) } => Some(unread),
            _ => None,
        }
    }

    /// Whether we are an App, of which GitHub answers some questions to nobody but owners.
    pub(crate) fn is_app(&self) -> bool {
        matches!(self.standing, Standing::App { .. })
    }

    /// Pages of one list, at the most.
    pub(crate) fn pages(&self) -> u32 {
        self.recorder.limits().pages
    }

    /// The present moment.
    pub(crate) fn now(&self) -> Timestamp {
        self.recorder.now()
    }
}

/// Whether the holder of a token is an owner, and who it is. An invitation that was not accepted shows nothing.
fn read_membership(answer: &Answer) -> Result<(bool, String), Unread> {
    let value = answer.json()?;
    let view = View::object(&value, answer.mark)?;
    if view.text("state")? != "active" {
        return Err(answer.mark.unread(GapReason::Denied, "the token belongs to no member of the organisation"));
    }
    Ok((view.text("role")? == "admin", view.inner("user")?.text("login")?.to_owned()))
}

/// What GitHub wrote about an answer that is no good: the member `message`.
pub(crate) fn message(unread: &Unread) -> Option<String> {
    let value: Value = serde_json::from_slice(&unread.answer.as_ref()?.body).ok()?;
    value.get("message")?.as_str().map(str::to_owned)
}

/// The status of an answer that is no good.
pub(crate) fn status(unread: &Unread) -> Option<u16> {
    unread.answer.as_ref().map(|answer| answer.status)
}

/// What a reader may not see GitHub says is not there; and a feature that the plan lacks it refuses like a permission.
///
/// <https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api#404-not-found-for-an-existing-resource>
fn hidden(unread: Unread) -> Unread {
    let said = message(&unread);
    match (status(&unread), said.as_deref()) {
        (Some(404), Some("Not Found")) => {
            let permission = permission_of(&unread);
            let detail = "404 Not Found: not there, or not shown to this reader".to_owned();
            Unread { reason: GapReason::Denied, permission, detail, ..unread }
        }
        (Some(403), Some(said)) if said.starts_with("Upgrade to ") => {
            let detail = "403 Forbidden: the organisation's plan does not offer it".to_owned();
            Unread { reason: GapReason::NotLicensed, permission: None, detail, ..unread }
        }
        _ => unread,
    }
}

fn permission_of(unread: &Unread) -> Option<String> {
    unread.answer.as_ref()?.mark.call.permission_text()
}

fn joined(call: &'static CallSpec, base: &Url, segments: &[&str]) -> Result<Url, Unread> {
    kit::joined(base, segments).ok_or_else(|| Unread::unsent(call, GapReason::Refused, "no address could be made"))
}
