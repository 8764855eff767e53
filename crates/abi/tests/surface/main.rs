//! The 7.2 model has what real objects need.

mod data;

use scxr_abi::{Form, KernelModel, KernelVersion};

fn newest() -> KernelModel {
    KernelModel::new(KernelVersion::NEWEST)
}

#[test]
fn every_kfunc_is_there_or_rightly_absent() {
    let (new, old) = (newest(), KernelModel::new(KernelVersion::OLDEST));
    for &(name, in_7_2) in data::KFUNCS {
        assert_eq!(new.kfunc(name).is_some(), in_7_2, "{name}");
        assert!(in_7_2 || old.kfunc(name).is_some(), "{name} is in no version");
    }
}

#[test]
fn every_field_is_there_and_found_again_by_its_place() {
    let kernel = newest();
    for &(ty, path, in_7_2) in data::FIELDS {
        let Some(field) = kernel.field(ty, path) else {
            assert!(!in_7_2, "{ty}.{path}");
            continue;
        };
        assert!(in_7_2, "{ty}.{path} is not in 7.2");
        let layout = kernel.layout(ty).expect(ty);
        let Some(leaf) = layout.leaf_index(path).map(|index| &layout.leaves[index]) else {
            continue;
        };
        let hit = kernel.field_at(ty, leaf.offset, leaf.size).expect(path);
        assert_eq!((hit.leaf.path.as_str(), hit.element, hit.byte), (path, 0, 0), "{ty}");
        assert_eq!(field.offset, leaf.offset, "{ty}.{path}");
    }
}

#[test]
fn every_operation_is_there() {
    let kernel = newest();
    for name in data::OPS {
        let found = [Form::Cpu, Form::Cid].into_iter().any(|form| kernel.op(form, name).is_some());
        assert!(found, "{name}");
    }
}

#[test]
fn constants_have_the_values_of_7_2() {
    let kernel = newest();
    for &(name, value) in data::CONSTANTS {
        assert_eq!(kernel.constant(name), Some(value), "{name}");
    }
}
