//! keycloak.
