//! What a connector says about itself, as static data: `plan`, `permissions` and the recorder's refusals follow from it.

/// One coherent question that a connector can ask on a schedule.
#[derive(Clone, Copy, Debug)]
pub struct CollectorSpec {
    /// Its name within the connector: `realm`.
    pub name: &'static str,
    /// Version of its meaning: raised when the same answers would give other fields.
    pub version: u32,
    /// What it asks, in one sentence for people.
    pub about: &'static str,
    /// When it runs unless the settings say otherwise: five cron fields, read in the zone of the
    /// settings (UTC unless they name one), or `every: 15m`.
    pub default_schedule: &'static str,
    /// Every call it may make. The recorder refuses all others.
    pub calls: &'static [CallSpec],
    /// The resource types it reads, each with one population per run.
    pub yields: &'static [TypeSpec],
}

impl CollectorSpec {
    /// The least and the greatest number of calls that one run is expected to make to its source, retries not counted.
    pub fn calls_per_run(&self) -> (u32, u32) {
        self.calls.iter().filter(|call| call.method_and_path().0 != crate::READ).fold((0, 0), |(least, most), call| {
            (u32::saturating_add(least, call.per_run.0), u32::saturating_add(most, call.per_run.1))
        })
    }

    /// Every permission its calls need, sorted, each once.
    pub fn permissions(&self) -> Vec<&'static str> {
        let all: std::collections::BTreeSet<_> =
            self.calls.iter().flat_map(|call| call.permissions.iter().copied()).collect();
        all.into_iter().collect()
    }

    /// What it says of one of the types it yields.
    pub fn type_spec(&self, kind: &str) -> Option<&'static TypeSpec> {
        self.yields.iter().find(|t| t.kind == kind)
    }
}

/// One call that a collector may make: a read action, or the token endpoint that precedes one.
///
/// *Read-only* is not the HTTP method, since some sources read by POST; it is that the call stands here.
#[derive(Clone, Copy, Debug)]
pub struct CallSpec {
    /// Method and path template below the source's address: `GET /admin/realms/{realm}/users`. Also its name in
    /// evidence, so it never holds an id. A segment in braces stands for exactly one non-empty segment.
    ///
    /// Or service and action, `iam:GetAccountSummary`, for sources that are asked everything by a POST to one address
    /// and told in the request what is asked: see [`action_asked`].
    pub name: &'static str,
    /// What it needs to be allowed to do, in the source's own words. Empty: nothing beyond being signed in.
    pub permissions: &'static [&'static str],
    /// Why it is made, in a few words for the person who grants the permission.
    pub purpose: &'static str,
    /// The least and the greatest number of times one run is expected to make it.
    pub per_run: (u32, u32),
    /// Values replaced before anything is kept or handed to the collector, as paths: `secret`, `[].credentialData`,
    /// `config.*.password`. See [`crate::redact`].
    pub redact: &'static [&'static str],
    /// Of each item of a list that it answers, the members that the collector reads. The others are kept as evidence like
    /// these, and not handed to it. Empty: it reads every member.
    pub reads: &'static [&'static str],
    /// Request and answer are secret as a whole, as with a token endpoint: that they happened is kept, never a byte.
    pub secret_body: bool,
}

impl CallSpec {
    /// A call made once a run, with nothing in it to hide.
    pub const fn new(name: &'static str, permissions: &'static [&'static str], purpose: &'static str) -> Self {
        CallSpec { name, permissions, purpose, per_run: (1, 1), redact: &[], reads: &[], secret_body: false }
    }

    /// The same call, made between `least` and `most` times a run.
    pub const fn times(mut self, least: u32, most: u32) -> Self {
        self.per_run = (least, most);
        self
    }

    /// The same call, with the values at `paths` replaced before they are kept.
    pub const fn redacting(mut self, paths: &'static [&'static str]) -> Self {
        self.redact = paths;
        self
    }

    /// The same call, of whose list the collector reads no other members than these.
    pub const fn reading(mut self, members: &'static [&'static str]) -> Self {
        self.reads = members;
        self
    }

    /// The same call, of whose request and answer not a byte is kept.
    pub const fn secret(mut self) -> Self {
        self.secret_body = true;
        self
    }

    /// The method and the path template.
    pub fn method_and_path(&self) -> (&'static str, &'static str) {
        match self.action() {
            Some(_) => ("POST", "/"),
            None => self.name.split_once(' ').unwrap_or((self.name, "")),
        }
    }

    /// The action, of a call that is declared as service and action.
    pub fn action(&self) -> Option<&'static str> {
        let (_, action) = self.name.split_once(':')?;
        (!self.name.contains(['/', ' '])).then_some(action)
    }

    /// Its permissions as one text, for a gap.
    pub fn permission_text(&self) -> Option<String> {
        (!self.permissions.is_empty()).then(|| self.permissions.join(", "))
    }

    /// Whether a request of this method and path (below the source's address), asking for this action, is this call.
    pub fn matches(&self, method: &str, path: &str, action: Option<&str>) -> bool {
        if let Some(own) = self.action() {
            return (method, path, action) == ("POST", "/", Some(own));
        }
        let (own_method, template) = self.method_and_path();
        let mut path = path.split('/');
        own_method == method
            && template.split('/').all(|wanted| {
                let placeholder = wanted.starts_with('{') && wanted.ends_with('}');
                path.next().is_some_and(|got| if placeholder { !got.is_empty() } else { got == wanted })
            })
            && path.next().is_none()
    }
}

/// The action that a request asks for, where it names one: the form parameter `Action` (the AWS Query protocol), or the
/// last part of the header `X-Amz-Target` (AWS JSON). `None` when it names none, or is not plain about it: two actions,
/// or parameters in the address as well.
///
/// Both are described at <https://smithy.io/2.0/aws/protocols/index.html>.
pub fn action_asked(headers: &http::HeaderMap, query: Option<&str>, body: &[u8]) -> Option<String> {
    if query.is_some() {
        return None;
    }
    let only = |mut all: Box<dyn Iterator<Item = String> + '_>| all.next().filter(|_| all.next().is_none());
    let is_form = headers.get(http::header::CONTENT_TYPE).is_some_and(|kind| {
        kind.to_str().is_ok_and(|kind| kind.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded"))
    });
    let target = headers.get_all("x-amz-target");
    match (is_form, target.iter().next().is_some()) {
        (true, false) => {
            let named = url::form_urlencoded::parse(body).filter(|(name, _)| name == "Action");
            only(Box::new(named.map(|(_, action)| action.into_owned())))
        }
        (false, true) => {
            let last = |value: &http::HeaderValue| value.to_str().ok()?.rsplit('.').next().map(str::to_owned);
            only(Box::new(target.iter().filter_map(last)))
        }
        _ => None,
    }
}

/// A resource type that a collector yields.
#[derive(Clone, Copy, Debug)]
pub struct TypeSpec {
    /// Its name: `keycloak.user`.
    pub kind: &'static str,
    /// What it is, in one sentence for people.
    pub about: &'static str,
    /// The fields of every resource of the type, by the names that checks use. A field that could not be read is
    /// still there, as unread.
    pub fields: &'static [&'static str],
    /// How the completeness of its population is proven.
    pub second_count: SecondCount,
}

/// A second, independent count of a population.
#[derive(Clone, Copy, Debug)]
pub enum SecondCount {
    /// The call that gives it.
    Call(&'static str),
    /// There is none, and this is why.
    None(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_stands_for_exactly_one_segment() {
        let call = CallSpec::new("GET /admin/realms/{realm}/users", &[], "");
        assert!(call.matches("GET", "/admin/realms/acme/users", None));
        for (method, path) in [
            ("POST", "/admin/realms/acme/users"),
            ("GET", "/admin/realms//users"),
            ("GET", "/admin/realms/acme/users/7"),
            ("GET", "/admin/realms/acme"),
            ("GET", "/x/admin/realms/acme/users"),
            ("GET", ""),
        ] {
            assert!(!call.matches(method, path, None), "{method} {path}");
        }
    }

    #[test]
    fn an_action_is_what_the_request_plainly_asks_for() {
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        let asked = |headers: &[(&'static str, &'static str)], query: Option<&str>, body: &str| {
            let pair = |(name, value): &(&'static str, &'static str)| {
                (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
            };
            action_asked(&headers.iter().map(pair).collect(), query, body.as_bytes())
        };
        let iam = "Action=GetAccountSummary&Version=2010-05-08";
        assert_eq!(asked(&[("content-type", form)], None, iam).as_deref(), Some("GetAccountSummary"));
        let target = ("x-amz-target", "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents");
        let json = ("content-type", "application/x-amz-json-1.1");
        assert_eq!(asked(&[json, target], None, "{}").as_deref(), Some("LookupEvents"));
        for (headers, query, body) in [
            (&[("content-type", form)][..], Some("Action=CreateUser"), iam),
            (&[("content-type", form)], None, "Action=GetAccountSummary&Action=CreateUser"),
            (&[("content-type", form)], None, "Version=2010-05-08"),
            (&[("content-type", form), target], None, iam),
            (&[json], None, iam),
            (&[], None, iam),
        ] {
            assert_eq!(asked(headers, query, body), None, "{headers:?} {query:?} {body}");
        }
    }

    #[test]
    fn a_call_declared_by_its_action_is_a_post_that_asks_for_it_and_nothing_else() {
        let call = CallSpec::new("iam:GetAccountSummary", &[], "");
        assert!(call.matches("POST", "/", Some("GetAccountSummary")));
        for (method, path, action) in [
            ("GET", "/", Some("GetAccountSummary")),
            ("POST", "/x", Some("GetAccountSummary")),
            ("POST", "/", Some("CreateUser")),
            ("POST", "/", None),
        ] {
            assert!(!call.matches(method, path, action), "{method} {path} {action:?}");
        }
        assert_eq!(CallSpec::new("GET /a:b", &[], "").action(), None);
    }
}
