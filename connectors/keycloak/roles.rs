//! The role graph: who holds administrator rights in effect, when roles stand inside roles and groups inside groups.

use std::collections::{BTreeMap, BTreeSet};

/// A role of the realm, or of one of its clients.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Role {
    /// Keycloak's id.
    pub(crate) id: String,
    /// Its name, unique among those of the realm or of its client.
    pub(crate) name: String,
    /// The id of its client; `None` for a role of the realm.
    pub(crate) client: Option<String>,
    /// Whether it holds other roles.
    pub(crate) composite: bool,
}

/// Roles and which roles they hold directly. Keycloak lists a role's children and never its parents.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    roles: BTreeMap<String, Role>,
    children: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    /// Adds a role.
    pub(crate) fn add(&mut self, role: Role) {
        self.roles.insert(role.id.clone(), role);
    }

    /// Notes that `parent` holds `child`.
    pub(crate) fn link(&mut self, parent: &str, child: &str) {
        self.children.entry(parent.to_owned()).or_default().insert(child.to_owned());
    }

    /// The roles that hold others, whose children must be asked for.
    pub(crate) fn composites(&self) -> Vec<Role> {
        self.roles.values().filter(|role| role.composite).cloned().collect()
    }

    /// The roles that make an administrator, directly or by the roles inside them, each with the names of the
    /// administrator roles of the client `management` that it brings.
    pub(crate) fn administrators(&self, management: &str) -> Vec<(Role, BTreeSet<String>)> {
        let brings = |role: &Role| {
            let inside = self.reached(&role.id);
            let changing = |r: &&Role| r.client.as_deref() == Some(management) && changes_something(&r.name);
            inside.iter().filter_map(|id| self.roles.get(id)).filter(changing).map(|r| r.name.clone()).collect()
        };
        let all = self.roles.values().map(|role| (role.clone(), brings(role)));
        all.filter(|(_, names): &(Role, BTreeSet<String>)| !names.is_empty()).collect()
    }

    /// A role and all roles inside it. Roles may hold each other in a circle.
    fn reached(&self, from: &str) -> BTreeSet<String> {
        let mut reached = BTreeSet::new();
        let mut waiting = vec![from.to_owned()];
        while let Some(id) = waiting.pop() {
            if reached.insert(id.clone()) {
                waiting.extend(self.children.get(&id).into_iter().flatten().cloned());
            }
        }
        reached
    }
}

/// Whether a role of `realm-management` lets its holder change something.
pub(crate) fn changes_something(role: &str) -> bool {
    !role.starts_with("view-") && !role.starts_with("query-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(roles: &[(&str, Option<&str>)], links: &[(&str, &str)]) -> Graph {
        let mut graph = Graph::default();
        for (name, client) in roles {
            let composite = links.iter().any(|(parent, _)| parent == name);
            let (id, name) = ((*name).to_owned(), (*name).to_owned());
            graph.add(Role { id, name, client: client.map(str::to_owned), composite });
        }
        for (parent, child) in links {
            graph.link(parent, child);
        }
        graph
    }

    fn administrators(graph: &Graph) -> Vec<(String, Vec<String>)> {
        let found = graph.administrators("rm").into_iter();
        found.map(|(role, names)| (role.name, names.into_iter().collect())).collect()
    }

    #[test]
    fn a_role_inside_a_role_inside_a_role_makes_an_administrator() {
        let roles =
            [("lead", None), ("head", None), ("manage-users", Some("rm")), ("view-users", Some("rm")), ("staff", None)];
        let graph = graph(&roles, &[("head", "lead"), ("lead", "manage-users"), ("staff", "view-users")]);
        let names = vec!["manage-users".to_owned()];
        let expected = ["head", "lead", "manage-users"].map(|role| (role.to_owned(), names.clone()));
        assert_eq!(administrators(&graph), expected);
    }

    #[test]
    fn a_role_of_another_client_counts_by_what_it_holds_and_not_by_its_name() {
        let roles = [("ops", Some("shop")), ("manage-shop", Some("shop")), ("impersonation", Some("rm"))];
        let graph = graph(&roles, &[("ops", "impersonation")]);
        let found: Vec<String> = administrators(&graph).into_iter().map(|(role, _)| role).collect();
        assert_eq!(found, ["impersonation", "ops"]);
    }

    #[test]
    fn a_circle_of_roles_ends() {
        let graph = graph(
            &[("a", None), ("b", None), ("realm-admin", Some("rm"))],
            &[("a", "b"), ("b", "a"), ("b", "realm-admin")],
        );
        assert_eq!(administrators(&graph).len(), 3);
    }
}
