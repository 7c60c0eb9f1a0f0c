use dedi_domain::ModelName;
use dedi_domain::model_rights::Holders;

use super::*;
use crate::store::Claim;

pub(crate) async fn holders_are_added_shared_and_removed(factory: &impl Factory) {
    let store = leading(factory).await;
    let model = ModelName::parse("acme/private").unwrap();
    let (team, other) = (owner("team"), owner("other"));
    let of = async || store.holders().await.unwrap().remove(&model);
    let tenants = |of: &[&Owner]| Some(Holders::Tenants(of.iter().map(|it| (*it).clone()).collect()));
    assert_eq!(of().await, None);
    store.hold_model(&model, Some(&team), None, NOW).await.unwrap();
    store.hold_model(&model, Some(&team), None, NOW).await.unwrap();
    assert_eq!(of().await, tenants(&[&team]));
    let (key, _) = key("team", Role::Admin, 1);
    store.share_model(&model, Some(&[team.clone(), other.clone()].into()), &entry(&key), NOW).await.unwrap();
    assert_eq!(of().await, tenants(&[&team, &other]));
    store.unhold_model(&model, Some(&team), None, NOW).await.unwrap();
    assert_eq!(of().await, tenants(&[&other]));
    store.hold_model(&model, None, None, NOW).await.unwrap();
    assert_eq!(of().await, Some(Holders::Everyone));
    store.share_model(&model, None, &entry(&key), NOW).await.unwrap();
    assert_eq!(of().await, Some(Holders::Everyone));
    store.unhold_model(&model, None, Some(&entry(&key)), NOW).await.unwrap();
    assert_eq!(of().await, None);
}

pub(crate) async fn a_claim_is_kept_or_dropped_with_its_hold(factory: &impl Factory) {
    let store = leading(factory).await;
    let model = |name: &str| ModelName::parse(name).unwrap();
    let team = owner("team");
    let holds = async |it: &ModelName| store.holders().await.unwrap().contains_key(it);
    for (name, at) in [("acme/a", 1), ("acme/b", 2)] {
        store.claim_model(&model(name), Some(&team), None, later(at)).await.unwrap();
    }
    store.claim_model(&model("acme/all"), None, None, NOW).await.unwrap();
    store.hold_model(&model("acme/held"), Some(&team), None, NOW).await.unwrap();
    store.claim_model(&model("acme/held"), Some(&team), None, NOW).await.unwrap();
    let mut claims = store.claims().await.unwrap();
    claims.sort_by_key(|it| it.at);
    let claim = |name, at| Claim { model: model(name), tenant: team.clone(), at: later(at) };
    assert_eq!(claims, [claim("acme/a", 1), claim("acme/b", 2)], "a tenant's that did not hold it before");
    store.keep_claim(&claims[0]).await.unwrap();
    store.drop_claim(&claims[0]).await.unwrap();
    assert!(holds(&model("acme/a")).await, "it was kept");
    store.drop_claim(&claim("acme/b", 7)).await.unwrap();
    assert!(holds(&model("acme/b")).await, "it was made anew");
    store.drop_claim(&claims[1]).await.unwrap();
    assert!(!holds(&model("acme/b")).await);
    assert!(store.claims().await.unwrap().is_empty());
    store.claim_model(&model("acme/c"), Some(&team), None, NOW).await.unwrap();
    store.unhold_model(&model("acme/c"), Some(&team), None, NOW).await.unwrap();
    assert!(store.claims().await.unwrap().is_empty(), "a claim goes with its hold");
}

pub(crate) async fn a_pin_is_written_once_and_goes_with_its_endpoint(factory: &impl Factory) {
    let store = leading(factory).await;
    let it = NewEndpoint { pin: Some("rev-1".to_owned()), ..new(unnamed()) };
    store.insert_endpoint(&it, NOW).await.unwrap();
    let (id, bare) = (it.desired.id, stored(&*store).await.id);
    assert_eq!(store.model_pin(id).await.unwrap().as_deref(), Some("rev-1"));
    assert_eq!(store.model_pin(bare).await.unwrap(), None);
    store.pin_model(id, "rev-2").await.unwrap();
    store.pin_model(bare, "rev-2").await.unwrap();
    let pins = store.model_pins().await.unwrap();
    assert_eq!(pins, [(id, "rev-1".to_owned()), (bare, "rev-2".to_owned())].into());
    for _ in 0..2 {
        store.repin_model(id, "rev-3", "another one", NOW).await.unwrap();
    }
    assert_eq!(store.model_pin(id).await.unwrap().as_deref(), Some("rev-3"));
    let events = store.events(id, 0, 10).await.unwrap();
    assert_eq!(events.iter().filter(|it| it.message == "another one").count(), 1);
    delete(&*store, id).await;
    store.erase(id, NOW).await.unwrap();
    assert_eq!(store.model_pin(id).await.unwrap(), None);
}

pub(crate) async fn a_changed_model_is_told_once(factory: &impl Factory) {
    let store = leading(factory).await;
    let it = stored(&*store).await;
    for message in ["one", "one", "two", "one"] {
        store.tell_model_changed(it.id, message, NOW).await.unwrap();
        store.note(it.id, EventKind::SetAside, "between", NOW).await.unwrap();
    }
    let events = store.events(it.id, 0, 100).await.unwrap();
    let told: Vec<&str> =
        events.iter().filter(|it| it.kind == "model_changed").map(|it| it.message.as_str()).collect();
    assert_eq!(told, ["one", "two", "one"]);
}
