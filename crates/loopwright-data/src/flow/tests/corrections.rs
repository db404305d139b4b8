//! Corrections on top of rows on disk come to what they come to in memory.

use super::*;
use crate::extend::{Correction, extend};
use loopwright_types::{Example, dataset::Origin, id::RowId};

/// Corrections of messages: some repeat one, with its label or another, some are like one, some are new; some are masked,
/// too short, or of somebody who opted out.
fn corrections(rows: &[SourceRow], salt: u64) -> Vec<Correction> {
    let labels = ["damaged", "track", "invoice", "refund", "password"];
    let correction = |(index, row): (usize, &SourceRow)| {
        let x = xxhash_rust::xxh3::xxh3_64(&(index as u64 ^ salt << 40).to_le_bytes()) as usize;
        let ending = ["", "!", " please", " as soon as you can and no later", " or write to ana.ruiz@mail.example"];
        Correction {
            trace: format!("t{index}").as_str().into(),
            text: if x.is_multiple_of(11) { "hm".into() } else { format!("{}{}", row.text, ending[x / 11 % 5]) },
            label: labels[x / 55 % 5].into(),
            subject: (!(x / 300).is_multiple_of(4)).then(|| format!("s{}", x / 1200 % 12).as_str().into()),
            group: (x / 20_000).is_multiple_of(3).then(|| "business".to_string()),
            at: Timestamp(index as i64),
        }
    };
    rows.iter().step_by(3).enumerate().map(correction).collect()
}

fn check_on_top_of_sources(rows: &[SourceRow], given: &[Correction], recipe: &Recipe, settings: &FlowSettings) {
    let world = World::new(7);
    let base = curate(rows.to_vec(), recipe, &world.ctx()).unwrap();
    let extension = extend(&base.examples, given.to_vec(), recipe, &world.ctx()).unwrap();
    let expected = base.then(extension);
    let input = FlowInput { name: "mail".into(), batches: batches(rows, 40), rows_total: None };
    let (got, done) = collected(&mut |_| Ok(()), |sinks| {
        run_with_corrections(input, given.to_vec(), recipe, &world.ctx(), settings, sinks)
    })
    .unwrap();
    assert_eq!(got, expected);
    assert_counts(&done, &expected);
}

/// The base is a version with rows that a generator made, and of people who opted out since.
fn check_on_top_of_a_version(rows: &[SourceRow], given: &[Correction], recipe: &Recipe, settings: &FlowSettings) {
    let world = World::new(7);
    let everybody = World { opted_out: BTreeSet::new(), ..World::new(7) };
    let made_of = |row: &Example| Example {
        row_id: RowId::new(format!("{}~noise-1", row.row_id)),
        text: format!("{} x", row.text),
        origin: Origin::Augmented { parent: row.row_id.clone(), generator: "noise".into() },
        ..row.clone()
    };
    let mut base = curate(rows.to_vec(), recipe, &everybody.ctx()).unwrap().examples;
    base.extend(base.iter().step_by(2).map(made_of).collect::<Vec<_>>());
    let expected = extend(&base, given.to_vec(), recipe, &world.ctx()).unwrap();
    let (got, done) = collected(&mut |_| Ok(()), |sinks| {
        let ctx = world.ctx();
        let mut extending = Extending::begin(recipe, &ctx, settings)?;
        base.chunks(settings.batch_rows).try_for_each(|batch| extending.push(batch))?;
        Ok(extending.finish(given.to_vec(), sinks)?.alone())
    })
    .unwrap();
    assert_eq!(got, expected);
    assert_counts(&done, &expected);
}

#[test]
fn every_fate_of_a_correction_is_met_by_the_tests() {
    let (rows, world) = (messages(400, 1), World::new(7));
    let mut met: BTreeSet<String> = BTreeSet::new();
    for recipe in [mixed(), bounded(By::Group)] {
        let base = curate(rows.clone(), &recipe, &world.ctx()).unwrap();
        let extended = extend(&base.examples, corrections(&rows, 1), &recipe, &world.ctx()).unwrap();
        assert!(extended.card.n_corrections > 0);
        met.extend(extended.card.steps.last().unwrap().dropped.keys().cloned());
    }
    let all =
        ["exact_duplicate", "held_out_group", "like_held_out", "like_test", "near_duplicate", "superseded_base_row"];
    assert_eq!(met.into_iter().collect::<Vec<_>>(), all);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn corrections_in_any_memory_come_to_what_they_come_to_in_memory(
        n in 0usize..160, salt in 0u64..1000, which in 0usize..9, batch_rows in 1usize..200, memory_mib in 5u64..40
    ) {
        let (rows, recipe) = (messages(n, salt), &recipes()[which]);
        let given = corrections(&rows, salt);
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path(), batch_rows, memory_mib << 20);
        check_on_top_of_sources(&rows, &given, recipe, &settings);
        check_on_top_of_sources(&rows, &[], recipe, &settings);
        check_on_top_of_a_version(&rows, &given, recipe, &settings);
        prop_assert!(!dir.path().join("98-merge").exists(), "nothing is left of the merge");
    }
}
