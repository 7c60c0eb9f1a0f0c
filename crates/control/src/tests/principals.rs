//! Every route with every kind of sender. A route that is not in the table fails the test.

use std::collections::BTreeSet;
use std::sync::Arc;

use dedi_domain::{KeyFailures, Role};
use http::StatusCode;

use crate::http::v1::ROUTES;
use crate::testing::Plane;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    /// Any valid key.
    Key,
    Read,
    Change,
    Delete,
    Keys,
    /// The operator's.
    Host,
}

/// Route, method, path with `{id}` for an endpoint of the first tenant, what it needs.
const TABLE: &[(&str, &str, &str, Needs)] = &[
    ("/v1/endpoints", "GET", "/v1/endpoints", Needs::Read),
    ("/v1/endpoints", "POST", "/v1/endpoints", Needs::Change),
    ("/v1/endpoints/{id}", "GET", "/v1/endpoints/{id}", Needs::Read),
    ("/v1/endpoints/{id}/events", "GET", "/v1/endpoints/{id}/events", Needs::Read),
    ("/v1/endpoints/{id}/logs", "GET", "/v1/endpoints/{id}/logs", Needs::Read),
    ("/v1/endpoints/{id}/replicas", "GET", "/v1/endpoints/{id}/replicas", Needs::Read),
    ("/v1/endpoints/{id}/adapters", "GET", "/v1/endpoints/{id}/adapters", Needs::Read),
    ("/v1/endpoints/{id}/adapters", "POST", "/v1/endpoints/{id}/adapters", Needs::Read),
    ("/v1/endpoints/{id}/adapters", "DELETE", "/v1/endpoints/{id}/adapters", Needs::Read),
    ("/v1/endpoints/{id}", "PATCH", "/v1/endpoints/{id}", Needs::Change),
    ("/v1/endpoints/{id}", "DELETE", "/v1/endpoints/{id}", Needs::Delete),
    ("/v1/hardware", "GET", "/v1/hardware", Needs::Key),
    ("/v1/clusters/availability-zones", "GET", "/v1/clusters/availability-zones", Needs::Key),
    ("/v1/models", "GET", "/v1/models", Needs::Key),
    ("/v1/models/{*model}", "GET", "/v1/models/no/such", Needs::Key),
    ("/v1/models/{*model}", "DELETE", "/v1/models/no/such", Needs::Delete),
    ("/v1/models/{*model}", "PATCH", "/v1/models/no/such", Needs::Host),
    ("/v1/pulls", "GET", "/v1/pulls", Needs::Delete),
    ("/v1/pulls", "POST", "/v1/pulls", Needs::Delete),
    ("/v1/pulls/{*model}", "GET", "/v1/pulls/no/such", Needs::Delete),
    ("/v1/checks", "POST", "/v1/checks", Needs::Delete),
    ("/v1/checks/{*model}", "GET", "/v1/checks/no/such", Needs::Delete),
    ("/v1/autoscale/models", "GET", "/v1/autoscale/models", Needs::Key),
    ("/v1/whoami", "GET", "/v1/whoami", Needs::Key),
    ("/v3/whoami", "GET", "/v3/whoami", Needs::Key),
    ("/v1/keys", "GET", "/v1/keys", Needs::Keys),
    ("/v1/keys", "POST", "/v1/keys", Needs::Keys),
    ("/v1/keys/{id}", "DELETE", "/v1/keys/nobody", Needs::Keys),
    ("/v1/audit", "GET", "/v1/audit", Needs::Keys),
    ("/v1/usage", "GET", "/v1/usage", Needs::Read),
    ("/v1/usage", "GET", "/v1/usage?endpoint={id}", Needs::Read),
];

fn may(role: Role, needs: Needs) -> bool {
    match needs {
        Needs::Key => true,
        Needs::Read => role.may_read(),
        Needs::Change => role.may_change(),
        Needs::Delete | Needs::Keys => role.may_delete(),
        Needs::Host => role == Role::Admin,
    }
}

#[test]
fn the_table_has_every_route_and_method() {
    let table: BTreeSet<(&str, &str)> = TABLE.iter().map(|(route, method, _, _)| (*route, *method)).collect();
    let routes: BTreeSet<(&str, &str)> = ROUTES.iter().map(|(method, route)| (*route, *method)).collect();
    assert_eq!(table, routes);
}

#[tokio::test]
async fn no_or_wrong_keys_are_refused_everywhere_alike() {
    let mut plane = Plane::start().await;
    plane.failures = Arc::new(KeyFailures::new(u32::MAX, u32::MAX)); // what many of them meet is another test's
    let id = plane.create("").await;
    let mut unknown = plane.key("team", Role::Owner).await;
    let revoked = unknown.clone();
    let revoke = format!("/v1/keys/{}", revoked.split('_').nth(1).unwrap());
    assert_eq!(plane.call("DELETE", &revoke, "").await.status, StatusCode::NO_CONTENT);
    unknown.push('x');
    for (_, method, path, _) in TABLE {
        let path = path.replace("{id}", &id);
        for key in [
            None,
            Some(""),
            Some("local"),
            Some(unknown.as_str()),
            Some(revoked.as_str()),
            Some("' OR 1=1 --"),
        ] {
            let answer = plane.call_as(key, method, &path, "").await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path} {key:?}");
            let said = answer.message();
            assert!(said.contains("Invalid API key") && said.contains("authentication"), "{said}");
            assert_eq!(answer.json()["error"]["code"], "invalid_api_key");
            assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
        }
    }
    assert_eq!(plane.state(&id).await, "PENDING");
}

#[tokio::test]
async fn each_role_may_do_what_it_should_and_no_more() {
    let plane = Plane::start().await;
    for role in Role::ALL {
        let key = plane.key("team", role).await;
        for (_, method, path, needs) in TABLE {
            let id = plane.create("").await;
            let answer = plane.call_as(Some(&key), method, &path.replace("{id}", &id), "").await;
            let what = format!("{} {method} {path}: {answer:?}", role.as_str());
            if may(role, *needs) {
                assert_ne!(answer.status, StatusCode::FORBIDDEN, "{what}");
                assert!(!answer.status.is_server_error(), "{what}");
            } else {
                assert_eq!(answer.status, StatusCode::FORBIDDEN, "{what}");
                assert!(answer.message().contains("permission"), "{what}");
            }
            plane.call("DELETE", &format!("/v1/endpoints/{id}"), "").await;
        }
    }
}

#[tokio::test]
async fn another_tenants_endpoint_is_as_absent_as_one_that_never_was() {
    let plane = Plane::start().await;
    let foreign_id = plane.create("").await;
    let foreign_name = plane.get(&foreign_id).await["name"].as_str().unwrap().to_owned();
    let absent_id = "endpoint-00000000-0000-4000-8000-000000000000";
    let absent_name = "team/dedi/demo-00000000";
    for role in Role::ALL {
        let key = plane.key("stranger", role).await;
        for (route, method, path, _) in TABLE {
            if !path.contains("{id}") {
                continue;
            }
            for (foreign, absent) in [(foreign_id.as_str(), absent_id), (foreign_name.as_str(), absent_name)]
            {
                let get = async |named: &str| {
                    let answer = plane.call_as(Some(&key), method, &path.replace("{id}", named), "").await;
                    let mut body = answer.json();
                    body["id"] = "".into();
                    (answer.status, body.to_string().replace(named, "[named]"))
                };
                let (foreign, absent) = (get(foreign).await, get(absent).await);
                assert_eq!(foreign, absent, "{} {method} {route}", role.as_str());
                assert!(matches!(foreign.0, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN), "{foreign:?}");
            }
        }
        if role.may_read() {
            let list = plane.call_as(Some(&key), "GET", "/v1/endpoints", "").await;
            assert_eq!(list.json()["data"], serde_json::json!([]));
        }
        let models = plane.call_as(Some(&key), "GET", "/v1/models", "").await;
        assert!(!models.text.contains(&foreign_name));
        let hardware = plane.call_as(Some(&key), "GET", "/v1/hardware", "").await;
        assert!(!hardware.text.contains(&foreign_name));
    }
    assert_eq!(plane.state(&foreign_id).await, "PENDING");
}

#[tokio::test]
async fn a_key_makes_only_keys_of_its_own_tenant_and_strength() {
    let plane = Plane::start().await;
    let owner = plane.key("other", Role::Owner).await;
    let make = async |key: &str, body: &str| plane.call_as(Some(key), "POST", "/v1/keys", body).await;
    assert_eq!(make(&owner, r#"{"role":"admin"}"#).await.status, StatusCode::FORBIDDEN);
    assert_eq!(make(&owner, r#"{"owner":"team"}"#).await.status, StatusCode::FORBIDDEN);
    assert_eq!(make(&owner, r#"{"role":"king"}"#).await.param().as_deref(), Some("role"));
    assert_eq!(make(&owner, r#"{"expires_in_days":0}"#).await.param().as_deref(), Some("expires_in_days"));
    let made = make(&owner, r#"{"name":"ci","expires_in_days":1}"#).await.json();
    assert_eq!(
        (&made["role"], &made["owner"], &made["name"]),
        (&"developer".into(), &"other".into(), &"ci".into())
    );
    let text = made["key"].as_str().unwrap().to_owned();
    let works = async |plane: &Plane| plane.call_as(Some(&text), "GET", "/v1/whoami", "").await.status;
    assert_eq!(works(&plane).await, StatusCode::OK);
    let listed = plane.call_as(Some(&owner), "GET", "/v1/keys", "").await;
    assert_eq!(listed.json()["data"].as_array().unwrap().len(), 2);
    assert!(!listed.text.contains(&text), "a key is shown once");
    plane.later(86_400);
    assert_eq!(works(&plane).await, StatusCode::FORBIDDEN, "expired");

    let admin_id = plane.admin.split('_').nth(1).unwrap().to_owned();
    let foreign = plane.call_as(Some(&owner), "DELETE", &format!("/v1/keys/{admin_id}"), "").await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    let last = plane.call("DELETE", &format!("/v1/keys/{admin_id}"), "").await;
    assert_eq!(last.status, StatusCode::BAD_REQUEST, "the last admin key stays");
    let mine = plane.call("POST", "/v1/keys", r#"{"role":"admin","owner":"third"}"#).await;
    assert_eq!((mine.status, &mine.json()["owner"]), (StatusCode::OK, &"third".into()));
    assert_eq!(
        plane.call("DELETE", &format!("/v1/keys/{admin_id}"), "").await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(plane.call("GET", "/v1/whoami", "").await.status, StatusCode::FORBIDDEN, "revoked at once");
}
