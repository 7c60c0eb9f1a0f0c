//! Model stores that are made of several mounts, or can only be read.

use std::path::{Path, PathBuf};
use std::process::Command;

use dedi_testing::host::has;
use dedi_testing::hub::{FakeHub, HubRepo};
use http::StatusCode;

use super::{config, of_file, plane, weights};
use crate::HubConfig;

/// A mount that is gone with this value.
struct Mount(PathBuf);

impl Mount {
    fn make(args: &[&str], at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount").args(args).arg(at).output().is_ok_and(|it| it.status.success());
        mounted.then(|| Self(at.to_owned()))
    }

    fn disk(size: &str, at: &Path) -> Option<Self> {
        Self::make(&["-t", "tmpfs", "-o", &format!("size={size},mode=700"), "tmpfs"], at)
    }

    fn bind(from: &Path, at: &Path) -> Option<Self> {
        std::fs::create_dir_all(from).unwrap();
        Self::make(&["--bind", from.to_str().unwrap()], at)
    }

    fn remount(&self, options: &str) {
        let done = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0).output();
        assert!(done.unwrap().status.success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

fn hub() -> FakeHub {
    let hub = FakeHub::start();
    hub.put("org/x", HubRepo::default().file("x.gguf", &weights()));
    hub
}

#[tokio::test]
async fn organisations_folder_that_is_a_mount_of_its_own_takes_models() {
    let hub = hub();
    let plane = plane(config(&hub)).await;
    let org = plane.models().join("org");
    // Of the same disk, and of another.
    let aside = plane.dir.path().join("aside");
    let mounts: [&dyn Fn() -> Option<Mount>; 2] =
        [&|| Mount::bind(&aside, &org), &|| Mount::disk("16m", &org)];
    for mount in mounts {
        let mounted = mount();
        if !has(mounted.is_some(), "disks that it may mount") {
            return;
        }
        let done = plane.pull("org/x").await;
        assert_eq!(done["state"], "done", "{done}");
        assert_eq!(plane.stored("org/x/x.gguf").unwrap(), weights());
        assert!(!org.join(".pulls").exists() && !plane.models().join(".pulls").exists());
        assert_eq!(plane.listed().await, ["dedi/demo", "org/x"]);
        assert_eq!(plane.call("DELETE", "/v1/models/org/x", "").await.status, StatusCode::NO_CONTENT);
    }
}

#[tokio::test]
async fn room_is_looked_for_on_the_disk_that_the_model_comes_to() {
    let hub = hub();
    let plane = plane(config(&hub)).await;
    let mounted = Mount::disk("64k", &plane.models().join("org"));
    if !has(mounted.is_some(), "disks that it may mount") {
        return;
    }
    let failed = plane.pull("org/x").await;
    assert_eq!(failed["code"], "disk_full", "{failed}");
    assert!(failed["message"].as_str().unwrap().contains("/models/org"), "{failed}");
    assert!(of_file(&hub.asked(), "x.gguf").is_empty(), "before the first byte");
}

#[tokio::test]
async fn place_that_no_model_can_be_moved_to_is_refused_before_the_first_byte() {
    let hub = hub();
    let plane = plane(config(&hub)).await;
    let mounted = Mount::disk("16m", &plane.models().join("org/x"));
    if !has(mounted.is_some(), "disks that it may mount") {
        return;
    }
    let failed = plane.pull("org/x").await;
    assert_eq!(failed["code"], "unsuitable", "{failed}");
    assert!(failed["message"].as_str().unwrap().contains("is a mount of its own"), "{failed}");
    let outside = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), plane.models().join("away")).unwrap();
    let failed = plane.pull("away/x").await;
    assert_eq!(failed["code"], "unsuitable", "{failed}");
    assert!(failed["message"].as_str().unwrap().contains("is a link out of the model store"), "{failed}");
    assert!(hub.asked().is_empty());
}

#[tokio::test]
async fn model_store_that_is_read_only_says_so_and_its_models_run() {
    let hub = hub();
    let plane = plane(HubConfig { fetch_on_create: true, ..config(&hub) }).await;
    assert_eq!(plane.pull("org/x").await["state"], "done");
    let mounted = Mount::bind(&plane.models(), &plane.models());
    if !has(mounted.is_some(), "disks that it may mount") {
        return;
    }
    mounted.as_ref().unwrap().remount("bind,ro");
    let refused = plane.call("DELETE", "/v1/models/org/x", "").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{refused:?}");
    assert_eq!(refused.json()["error"]["code"], "model_store_read_only");
    assert!(refused.message().contains("is read-only: mount it writable"), "{refused:?}");
    assert_eq!(plane.stored("org/x/x.gguf").unwrap(), weights(), "nothing of it was removed");
    let n_asked = hub.asked().len();
    let failed = plane.pull("org/y").await;
    assert_eq!(failed["code"], "read_only", "{failed}");
    assert!(failed["message"].as_str().unwrap().contains("is read-only: mount it writable"), "{failed}");
    assert_eq!(hub.asked().len(), n_asked);
    let refused = plane.call("POST", "/v1/checks", r#"{"model":"dedi/demo","accept":true}"#).await;
    assert_eq!((refused.status, refused.param().as_deref()), (StatusCode::BAD_REQUEST, Some("accept")));
    assert!(refused.message().contains("is read-only: mount it writable"), "{refused:?}");
    let id = plane.create("").await;
    plane.settle_idle().await;
    assert_eq!(plane.state(&id).await, "STARTED");
}
