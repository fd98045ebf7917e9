//! The list of repositories, which three collectors walk, and the count it is held against.

use domain::GapReason;
use kit::view::{Mark, View};
use kit::{RunBuilder, Unread, Walked};
use serde_json::Value;

use crate::session::Session;
use crate::spec::{ORG, REPOS};

/// Every repository that was answered, and whether that is all of them.
pub(crate) struct Listing {
    items: Vec<(Value, Mark)>,
    /// Why there may be more.
    pub(crate) short: Option<Unread>,
    /// The organisation's own count of its repositories.
    pub(crate) count: Option<(Mark, u64)>,
}

/// What is read of a repository. The rest of its hundred members is let go with the page it came on.
const READ: [&str; 8] =
    ["node_id", "full_name", "owner", "name", "default_branch", "archived", "visibility", "security_and_analysis"];

/// What the collectors need of a repository.
#[derive(Clone)]
pub(crate) struct Repository<'a> {
    pub(crate) view: View<'a>,
    pub(crate) id: &'a str,
    /// `owner/name`.
    pub(crate) full_name: &'a str,
    pub(crate) owner: &'a str,
    pub(crate) name: &'a str,
    pub(crate) default_branch: &'a str,
    pub(crate) archived: bool,
    /// By the settings' word; nothing archived is.
    pub(crate) in_production: bool,
}

impl Listing {
    pub(crate) async fn read(session: &Session<'_>) -> Self {
        let count = counted(session).await;
        // The oldest first: repositories that are made meanwhile come at the end.
        let query = [("type", "all"), ("sort", "created"), ("direction", "asc")];
        let mut items = Vec::new();
        let walked = session.org_walk(&REPOS, &["repos"], &query, |item, mark| items.push((trimmed(item), mark))).await;
        let Walked { last, stopped, .. } = walked;
        let seen = last.ok_or_else(|| Unread::unsent(&REPOS, GapReason::Malformed, "no page was answered"));
        let seen = seen.and_then(|mark| session.sees_repositories(mark));
        let (short, count) = match (stopped, seen, count) {
            (Some(unread), ..) | (None, Err(unread), _) | (None, Ok(()), Err(unread)) => (Some(unread), None),
            (None, Ok(()), Ok(count)) => (None, Some(count)),
        };
        Listing { items, short, count }
    }

    /// The repositories; those that cannot be read are told to the builder as missing from `kind`.
    pub(crate) fn repositories<'a>(
        &'a self,
        production: Option<&[String]>,
        run: &mut RunBuilder,
        kind: &str,
    ) -> Vec<Repository<'a>> {
        let mut repositories = Vec::new();
        for (item, mark) in &self.items {
            match View::object(item, *mark).and_then(|view| repository(view, production)) {
                Ok(repository) => repositories.push(repository),
                Err(unread) => run.missing(&unread, &[kind]),
            }
        }
        repositories
    }

    /// Why the list is not proven whole, its own count included.
    pub(crate) fn not_whole(&self) -> Option<Unread> {
        let listed = self.items.len() as u64;
        let miscounted = self.count.filter(|(_, count)| *count != listed).map(|(mark, count)| Unread {
            permission: None,
            ..mark.unread(GapReason::Truncated, format!("{listed} listed, {count} counted"))
        });
        self.short.clone().or(miscounted)
    }
}

fn trimmed(mut item: Value) -> Value {
    if let Value::Object(members) = &mut item {
        members.retain(|name, _| READ.contains(&name.as_str()));
        if let Some(Value::Object(owner)) = members.get_mut("owner") {
            owner.retain(|name, _| name == "login");
        }
    }
    item
}

/// How many repositories the organisation says it has. The private ones are counted for whoever administers it only.
async fn counted(session: &Session<'_>) -> Result<(Mark, u64), Unread> {
    let answer = session.org(&ORG, &[], &[]).await?;
    let value = answer.json()?;
    let org = View::object(&value, answer.mark)?;
    let public = org.number("public_repos")?;
    if org.get("total_private_repos").is_none() {
        let why = "answered, but the count of private repositories is not shown to this reader";
        return Err(answer.mark.unread(GapReason::Denied, why));
    }
    let all = public.saturating_add(org.number("total_private_repos")?);
    Ok((answer.mark, u64::try_from(all).unwrap_or(0)))
}

fn repository<'a>(view: View<'a>, production: Option<&[String]>) -> Result<Repository<'a>, Unread> {
    let (name, archived) = (view.text("name")?, view.bool("archived")?);
    let named = production.is_none_or(|globs| globs.iter().any(|glob| glob_matches(glob, name)));
    Ok(Repository {
        id: view.text("node_id")?,
        full_name: view.text("full_name")?,
        owner: view.inner("owner")?.text("login")?,
        name,
        default_branch: view.text("default_branch")?,
        archived,
        in_production: !archived && named,
        view,
    })
}

/// Whether a name fits a pattern, in which `*` stands for any characters. GitHub's names know no upper and lower case.
pub(crate) fn glob_matches(glob: &str, name: &str) -> bool {
    let (glob, name) = (glob.to_ascii_lowercase(), name.to_ascii_lowercase());
    let Some((first, rest)) = glob.split_once('*') else { return glob == name };
    let (Some(name), last) = (name.strip_prefix(first), rest.rsplit('*').next().unwrap_or(rest)) else { return false };
    let Some(mut name) = name.strip_suffix(last) else { return false };
    let inner = rest.strip_suffix(last).unwrap_or_default();
    for part in inner.split('*').filter(|part| !part.is_empty()) {
        match name.split_once(part) {
            Some((_, after)) => name = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters_and_case_does_not_matter() {
        for (glob, name, fits) in [
            ("api", "api", true),
            ("api", "API", true),
            ("api", "api-2", false),
            ("web-*", "web-shop", true),
            ("web-*", "my-web-shop", false),
            ("*-prod", "shop-prod", true),
            ("*-prod", "shop-prod-2", false),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("*", "anything", true),
            ("**", "", true),
        ] {
            assert_eq!(glob_matches(glob, name), fits, "{glob} {name}");
        }
    }
}
