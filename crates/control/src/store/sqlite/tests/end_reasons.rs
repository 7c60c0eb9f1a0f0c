//! What the database itself refuses of the reasons for which replicas are ended.

use dedi_domain::{EndReason, Intent};

use super::file::with_owner;
use crate::reconciler::tests::desired;
use crate::store::conformance::new;
use crate::store::{EndpointStore as _, PassStore as _, SnapshotStore as _};

#[tokio::test]
async fn end_reason_is_written_once_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let store = with_owner(&path).await;
    let it = desired(1, 1);
    let now = dedi_domain::Timestamp(1);
    store.insert_endpoint(&new(it.clone()), now).await.unwrap();
    let ids = (
        dedi_domain::ReplicaId::from_uuid(uuid::Uuid::new_v4()),
        dedi_domain::Nonce::from_uuid(uuid::Uuid::new_v4()),
    );
    let devices = [dedi_domain::DeviceId::local("a")];
    store.reserve(it.id, it.generation, ids, &devices, 0, now).await.unwrap();
    let why = EndReason::ScaledDown { from: 3, to: 1 };
    store.drain(ids.0, why, now).await.unwrap();
    store.stop(ids.0, EndReason::StopRequested, None, "being ended", now).await.unwrap();
    let intent = async || store.snapshot().await.map(|it| it[0].replicas[0].intent);
    assert_eq!(intent().await.unwrap(), Intent::Stop { since: now, reason: why });

    let set = async |text: &'static str| {
        let done = sqlx::query("UPDATE replicas SET end_reason = ?").bind(text);
        done.execute(&store.writer_for_tests()).await.map(drop)
    };
    let refused = set(r#"{"reason":"stop_requested"}"#).await.unwrap_err().to_string();
    assert!(refused.contains("why a replica is ended is decided once"), "{refused}");
    assert_eq!(intent().await.unwrap(), Intent::Stop { since: now, reason: why });
}
