//! Joins across sources: over a real store with runs recorded by hand, and in a daemon that watches three kinds of source.

mod recorded;
mod watched;

const PEOPLE: &str = "keycloak:acme/people";
const HOLDERS: &str = "accounts:acme/holders";
const CODE_HOST: &str = "x.code_host_account.has_identity";
const CLOUD: &str = "x.cloud_user.has_identity";

/// A code host and a cloud account in settings, and the join of both with the identities of `keycloak:acme`. `address` is
/// where all of them are, `dir` a folder with their secrets and the mapping file, `when` the join's schedule.
fn sources(address: &str, dir: &std::path::Path, when: &str) -> String {
    let dir = dir.display();
    format!(
        "  \
  github:
  - name: acme
    owner: platform team
    organisation: acme
    url: {address}/api/v3
    token: {{file: {dir}/github.token}}
    verified_emails: true
  aws:
  - name: prod
    owner: cloud team
    endpoint_url: {address}
    access_key: {{id: {key}, secret: {{file: {dir}/aws.secret}}}}
  accounts:
  - name: acme
    owner: identity team
    identities: ['keycloak:acme']
    accounts: ['github:acme', 'aws:prod']
    mapping: {dir}/accounts.yaml
    schedules: {{holders: '{when}'}}
",
        key = world::AWS_KEY_ID,
    )
}
