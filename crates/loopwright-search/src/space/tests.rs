use super::*;
use serde_json::json;

fn refused(written: Value) -> String {
    serde_json::from_value::<Space>(written).unwrap_err().to_string()
}

fn nested() -> Space {
    Space::new([
        ("kind", Param::categorical(["tree", "net"])),
        ("layers", Param::int(1, 3).when("kind", ["net"])),
        ("second", Param::int(8, 64).log().when("layers", [2, 3])),
        ("rate", Param::float(1e-3, 1.0).log()),
    ])
    .unwrap()
}

#[test]
fn mistakes_are_named_with_expected_and_got() {
    let cases = [
        (
            json!({"a": {"type": "float", "low": 2, "high": 1}}),
            "parameter `a`: expected finite `low` up to `high`, got low = 2, high = 1",
        ),
        (json!({"a": {"type": "float", "low": 0, "high": 1, "log": true}}), "above 0 with `log = true`, got low = 0"),
        (json!({"a": {"type": "float", "low": 0, "high": 1, "step": 0}}), "`step` above 0"),
        (json!({"a": {"type": "int", "low": 1, "high": 9, "log": true, "step": 2}}), "`log` or `step`, not both"),
        (json!({"a": {"type": "int", "low": 0.5, "high": 9}}), "parameter `a`"),
        (json!({"a": {"type": "categorical", "choices": []}}), "1 to 1000 `choices`, got 0"),
        (json!({"a": {"type": "categorical", "choices": ["x", "x"]}}), "different `choices`, got \"x\" twice"),
        (json!({"a": {"type": "categorical", "choices": [[1]]}}), "texts, numbers, booleans or null"),
        (json!({"a": {"type": "float", "low": 0, "high": 1, "min": 3}}), "unknown field `min`"),
        (json!({"a": {"low": 0, "high": 1}}), "missing field `type`"),
        (
            json!({"a": {"type": "float", "low": 0, "high": 1, "when": {"param": "b", "is": [1]}}}),
            "another parameter, got `b`",
        ),
        (json!({}), "at least one parameter"),
    ];
    for (written, expected) in cases {
        let message = refused(written);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn conditions_must_make_sense() {
    let with = |is: Value, parent: Value| {
        refused(json!({"b": parent, "a": {"type": "int", "low": 0, "high": 1, "when": {"param": "b", "is": is}}}))
    };
    let choice = json!({"type": "categorical", "choices": ["x", "y"]});
    assert!(with(json!(["z"]), choice.clone()).contains("one of \"x\", \"y\" (`b`), got \"z\""));
    assert!(with(json!([]), choice).contains("values in `when.is`"));
    assert!(with(json!([0.5]), json!({"type": "float", "low": 0, "high": 1})).contains("the float `b`"));
    let circle = Space::new([("a", Param::int(0, 1).when("b", [0])), ("b", Param::int(0, 1).when("a", [0]))]);
    assert!(circle.unwrap_err().to_string().contains("circle"));
}

#[test]
fn a_parameter_takes_part_where_its_chain_of_conditions_holds() {
    let space = nested();
    let active = |params: Value| {
        let params: Params = serde_json::from_value(params).unwrap();
        let (_, active) = space.encode(&params);
        space.names().zip(active).filter(|(_, is)| *is).map(|(name, _)| name.to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(active(json!({"kind": "tree", "rate": 0.1})), "kind rate");
    assert_eq!(active(json!({"kind": "net", "layers": 1, "rate": 0.1})), "kind layers rate");
    assert_eq!(active(json!({"kind": "net", "layers": 3, "second": 9, "rate": 0.1})), "kind layers rate second");
}

#[test]
fn values_are_checked_against_the_space() {
    let space = nested();
    let check = |params: Value| {
        let params: Params = serde_json::from_value(params).unwrap();
        space.check(&params).map_err(|error| error.to_string())
    };
    assert_eq!(check(json!({"kind": "net", "layers": 1, "rate": 0.1})), Ok(()));
    assert!(
        check(json!({"kind": "net", "layers": 4, "rate": 0.1}))
            .unwrap_err()
            .contains("whole number from 1 to 3, got 4")
    );
    assert!(check(json!({"kind": "net", "rate": 0.1})).unwrap_err().contains("got nothing"));
    assert!(check(json!({"kind": "tree", "layers": 1, "rate": 0.1})).unwrap_err().contains("condition does not hold"));
    assert!(check(json!({"kind": "tree", "rat": 0.1})).unwrap_err().contains("a parameter of the space"));
}

#[test]
fn a_space_reads_back_what_it_writes() {
    let space = nested();
    let text = serde_json::to_string(&space).unwrap();
    assert_eq!(serde_json::from_str::<Space>(&text).unwrap(), space);
    assert!(!text.contains("null") && !text.contains("false"), "{text}");
}
