//! Decisions for runtimes that are not this host: several nodes, devices that the runtime chooses, memory that nobody
//! measures.

use super::tests::{endpoint, replica, said, seen, world};
use super::*;
use crate::capabilities::{Capabilities, PlacedBy};
use crate::hardware::{Device, DeviceId, HardwareId};
use crate::ids::NodeId;
use crate::launch::Address;
use crate::placement::Shortage;

fn of_node(world: &World, node: &str, n: usize) -> Vec<Device> {
    let node = NodeId::parse(node).unwrap();
    let devices = world.inventory.devices.iter().cycle().take(n).enumerate();
    devices
        .map(|(at, it)| Device {
            id: DeviceId::on(node.clone(), format!("slot-{at}")),
            index: u32::try_from(at).unwrap(),
            ..it.clone()
        })
        .collect()
}

/// An endpoint that waits for so many devices of two nodes with one and two of them.
fn waiting(n_devices: u32) -> World {
    let mut view = endpoint(1, 1);
    view.desired.published = EndpointState::Pending;
    view.desired.hardware = HardwareId::parse(&format!("{n_devices}x_gpu_80gb")).unwrap();
    let mut world = world(view, Vec::new());
    world.inventory.devices = [of_node(&world, "a", 1), of_node(&world, "b", 2)].concat();
    world
}

#[test]
fn placement_takes_the_devices_of_one_node() {
    insta::assert_snapshot!(said(&waiting(1)), @"reserve a/slot-0");
    insta::assert_snapshot!(said(&waiting(2)), @"reserve b/slot-0");
    insta::assert_snapshot!(said(&waiting(3)), @"nothing");
    let catalog: Vec<String> = waiting(1).inventory.catalog().iter().map(|it| it.id.to_string()).collect();
    assert_eq!(catalog, ["1x_gpu_80gb", "2x_gpu_80gb"], "no replica spans two nodes");
}

#[test]
fn placement_tells_devices_of_one_name_on_two_nodes_apart() {
    let mut world = waiting(1);
    world.inventory.devices = [of_node(&world, "a", 1), of_node(&world, "b", 1)].concat();
    let mut other = endpoint(1, 1);
    other.desired.id = crate::ids::EndpointId::from_uuid(uuid::Uuid::from_u128(2));
    other.replicas = vec![replica(7, Intent::Run)];
    other.replicas[0].row.devices = vec![world.inventory.devices[0].id.clone()];
    world.observation = Observation::Known(vec![seen(7, 7, ready())]);
    world.endpoints.push(other);
    insta::assert_snapshot!(said(&world), @"reserve b/slot-0");
}

#[test]
fn placement_tells_the_shortage_of_the_node_that_lacks_least() {
    let mut world = waiting(2);
    world.quarantine.devices.insert(DeviceId::on(NodeId::parse("b").unwrap(), "slot-1"));
    let endpoints: Vec<&EndpointView> = world.endpoints.iter().collect();
    let given = launches(&endpoints, &Seen::new(), &world);
    assert_eq!(given[0].1, Err(Shortage::Busy { n_free: 1, n_needed: 2 }));
}

#[test]
fn placement_reserves_no_device_where_the_runtime_places() {
    let mut world = waiting(8);
    world.inventory.devices.clear();
    assert_eq!(decide(&world), []);
    world.capabilities.placed_by = PlacedBy::Runtime;
    let endpoint = world.endpoints[0].desired.id;
    assert_eq!(decide(&world), [Action::Reserve { endpoint, devices: Vec::new() }]);
    // Its replica runs without any device of ours, and is let go of without one.
    world.endpoints[0].desired.published = EndpointState::Started;
    let mut own = replica(1, Intent::Run);
    own.row.devices.clear();
    world.endpoints[0].replicas = vec![own];
    world.observation = Observation::Known(vec![seen(1, 1, ready())]);
    insta::assert_snapshot!(said(&world), @"nothing");
    world.endpoints[0].desired.run = crate::endpoint::Run::Stopped;
    world.endpoints[0].desired.published = EndpointState::Stopping;
    world.endpoints[0].replicas[0].row.intent =
        Intent::Stop { since: world.now, reason: EndReason::StopRequested };
    world.observation = Observation::Known(Vec::new());
    insta::assert_snapshot!(said(&world), @"release r1 with 0 bytes left");
}

#[test]
fn release_waits_for_no_memory_that_the_runtime_never_measures() {
    let mut view = endpoint(1, 1);
    view.desired.run = crate::endpoint::Run::Stopped;
    view.desired.published = EndpointState::Stopping;
    view.replicas = vec![replica(1, Intent::Stop { since: Timestamp(0), reason: EndReason::StopRequested })];
    let mut world = world(view, Vec::new());
    world.inventory.devices[0].leftover_bytes = 1;
    insta::assert_snapshot!(said(&world), @"mark gone r1");
    world.capabilities = Capabilities { measures_memory: false, ..world.capabilities };
    insta::assert_snapshot!(said(&world), @"release r1 with 0 bytes left");
    world.inventory.devices.clear();
    insta::assert_snapshot!(said(&world), @"release r1 with 0 bytes left");
}

fn ready() -> ReplicaPhase {
    ReplicaPhase::Ready { address: Address::Tcp("10.0.0.7:8000".parse().unwrap()) }
}
