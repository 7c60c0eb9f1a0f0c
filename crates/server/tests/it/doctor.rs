//! What `dedi doctor` says of this host.

use crate::fakes;

#[test]
fn doctor_prints_the_isolation_level_and_what_the_next_one_lacks() {
    let plane = fakes::plane("", "");
    let (code, said, err) = plane.cli(&["doctor"]);
    let isolation: Vec<&str> = said.lines().filter(|it| it.contains("isolation: ")).collect();
    assert!(code.is_some(), "{said}{err}");
    assert!(isolation.iter().any(|it| it.starts_with("ok ") && it.contains("level 0: ")), "{said}");
    let next = isolation.iter().find(|it| it.contains("level 1 needs Landlock")).unwrap();
    assert!(next.contains("this kernel "), "{next}");
}
