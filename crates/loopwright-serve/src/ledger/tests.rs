//! The ledger by hand, by chance, and by many at once.

use super::*;
use loopwright_types::{
    Digest,
    key::{Scope, Window},
};
use proptest::prelude::*;

const SECOND: i64 = 1_000;

fn key(limits: &[(Measure, Window, u64)]) -> ApiKey {
    ApiKey {
        id: "key_1".into(),
        owner: "a".into(),
        hash: Digest::of(b""),
        scope: Scope::Inference,
        created_at: Timestamp(0),
        revoked_at: None,
        expires_at: None,
        routes: Vec::new(),
        limits: limits
            .iter()
            .map(|(of, window, at_most)| Limit { of: *of, window: *window, at_most: *at_most })
            .collect(),
    }
}

fn amount(tokens: u64, micro_usd: u64) -> Amount {
    Amount { requests: 1, tokens, micro_usd }
}

#[test]
fn requests_come_back_when_the_window_has_passed_them() {
    let (ledger, key) = (Ledger::default(), key(&[(Measure::Requests, Window::Minute, 2)]));
    let ask =
        |at: i64| ledger.reserve(&key, amount(1, 1), Timestamp(at)).map(|it| it.settle(amount(1, 1), Timestamp(at)));
    ask(0).unwrap();
    ask(30 * SECOND).unwrap();
    let refused = ask(40 * SECOND).unwrap_err();
    assert_eq!(refused.to_string(), "the key's limit of 2 requests per minute is reached; try again in 21 s");
    assert_eq!((refused.code(), refused.retry_after_ms()), ("rate_limit_exceeded", Some(21 * SECOND as u64)));
    assert!(ask(60 * SECOND).is_err(), "a step counts until it lies wholly outside");
    ask(61 * SECOND).unwrap();
    assert!(ask(62 * SECOND).is_err());
}

#[test]
fn what_is_reserved_is_taken_until_it_is_settled_or_dropped() {
    let (ledger, key) = (Ledger::default(), key(&[(Measure::MicroUsd, Window::Total, 100)]));
    let now = Timestamp(5);
    let first = ledger.reserve(&key, amount(0, 60), now).unwrap();
    assert_eq!(first.held().micro_usd, 60);
    let refused = ledger.reserve(&key, amount(0, 60), now).unwrap_err();
    assert_eq!((refused.code(), refused.retry_after_ms()), ("insufficient_quota", None), "a total never comes back");
    first.settle(amount(0, 15), now);
    let second = ledger.reserve(&key, amount(0, 85), now).unwrap();
    assert_eq!(ledger.room(&key, now)[0].remaining, 0);
    drop(second);
    assert_eq!(ledger.room(&key, now)[0].remaining, 85);
    assert_eq!(ledger.total(&key.id), (Amount { requests: 2, tokens: 0, micro_usd: 15 }, Amount::default()));
    let free = ledger.reserve(&key, Amount { requests: 1, tokens: 9, micro_usd: 0 }, now);
    assert!(free.is_ok(), "what costs nothing needs no budget");
    let huge = ledger.reserve(&key, amount(0, 101), now).unwrap_err().to_string();
    assert_eq!(huge, "the key's budget of $0.000100 in total leaves no room for this request");
}

#[test]
fn a_limit_is_whole_again_when_the_newest_use_has_left_its_window() {
    let (ledger, key) =
        (Ledger::default(), key(&[(Measure::Tokens, Window::Minute, 100), (Measure::Tokens, Window::Total, 1_000)]));
    let resets = |now: i64| {
        let room = ledger.room(&key, Timestamp(now));
        (room[0].resets_in_ms, room[1].resets_in_ms)
    };
    assert_eq!(resets(0), (Some(0), Some(0)), "nothing was used");
    let first = ledger.reserve(&key, amount(40, 0), Timestamp(500)).unwrap();
    assert_eq!(resets(500), (Some(60_500), None), "as if it were used at once");
    first.settle(amount(30, 0), Timestamp(2_250));
    assert_eq!(resets(2_250), (Some(60_750), None), "step 2 ends at 3 s, and a minute behind that");
    assert_eq!(resets(62_999), (Some(1), None));
    assert_eq!((resets(63_000), ledger.room(&key, Timestamp(63_000))[0].remaining), ((Some(0), None), 100));
}

#[test]
fn what_was_kept_counts_again() {
    let key = key(&[(Measure::Tokens, Window::Hour, 100), (Measure::MicroUsd, Window::Total, 1_000)]);
    let used = |tokens, micro_usd| Amount { requests: 1, tokens, micro_usd };
    let kept = [
        Spending { key: key.id.clone(), minute: None, used: used(500, 990) },
        Spending { key: key.id.clone(), minute: Some(10), used: used(20, 1) },
        Spending { key: key.id.clone(), minute: Some(100), used: used(60, 1) },
    ];
    let ledger = Ledger::default();
    ledger.load(&kept);
    let now = Timestamp(101 * 60 * SECOND);
    let room: Vec<u64> = ledger.room(&key, now).iter().map(|room| room.remaining).collect();
    assert_eq!(room, [40, 10], "minute 10 is long over");
    assert!(ledger.reserve(&key, amount(41, 0), now).is_err());
    assert!(ledger.reserve(&key, amount(40, 10), now).is_ok());
}

#[test]
fn many_at_once_never_pass_a_budget_and_no_cent_is_lost() {
    let (ledger, key) = (Ledger::default(), key(&[(Measure::MicroUsd, Window::Month, 10_000)]));
    let answered: u64 = std::thread::scope(|scope| {
        let work = |seed: u64| {
            let (ledger, key) = (ledger.clone(), key.clone());
            move || {
                let mut sum = 0;
                for i in 0..2_000u64 {
                    let bound = 1 + (seed * 31 + i * 17) % 40;
                    if let Ok(reservation) = ledger.reserve(&key, amount(0, bound), Timestamp(i as i64)) {
                        let used = bound * (i % 3) / 2;
                        if used <= bound && i % 5 != 0 {
                            reservation.settle(amount(0, used), Timestamp(i as i64));
                            sum += used;
                        }
                    }
                }
                sum
            }
        };
        let threads: Vec<_> = (0..8).map(|seed| scope.spawn(work(seed))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    let (total, held) = ledger.total(&key.id);
    assert_eq!((total.micro_usd, held), (answered, Amount::default()));
    assert!(answered <= 10_000 && answered > 9_000, "{answered} of 10000: the budget is used and not passed");
}

#[derive(Clone, Debug)]
enum Step {
    Wait(i64),
    Reserve(u64),
    Settle(usize, u64),
    Drop(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0i64..40 * SECOND).prop_map(Step::Wait),
        (1u64..60).prop_map(Step::Reserve),
        (any::<usize>(), 0u64..60).prop_map(|(which, used)| Step::Settle(which, used)),
        any::<usize>().prop_map(Step::Drop),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    /// In no stretch as long as the window is more used than the limit says, whatever comes in whatever order; and what
    /// is kept is the sum of what was settled.
    #[test]
    fn no_window_is_ever_passed(steps in steps(), at_most in 1u64..200) {
        let (ledger, key) = (Ledger::default(), key(&[(Measure::Tokens, Window::Minute, at_most)]));
        let (mut now, mut open, mut settled) = (0i64, Vec::new(), Vec::<(i64, u64)>::new());
        for step in steps {
            match step {
                Step::Wait(ms) => now += ms,
                Step::Reserve(bound) => open.extend(ledger.reserve(&key, amount(bound, 0), Timestamp(now)).ok()),
                Step::Settle(which, used) if !open.is_empty() => {
                    let reservation: Reservation = open.swap_remove(which % open.len());
                    let used = used.min(reservation.held().tokens);
                    reservation.settle(amount(used, 0), Timestamp(now));
                    settled.push((now, used));
                }
                Step::Drop(which) if !open.is_empty() => drop(open.swap_remove(which % open.len())),
                Step::Settle(..) | Step::Drop(_) => {}
            }
            let held: u64 = open.iter().map(|it| it.held().tokens).sum();
            let recent: u64 = settled.iter().filter(|(at, _)| now - at < 60 * SECOND).map(|(_, used)| used).sum();
            prop_assert!(recent + held <= at_most, "{recent} + {held} of {at_most}");
            prop_assert_eq!(ledger.total(&key.id).1.tokens, held);
        }
        prop_assert_eq!(ledger.total(&key.id).0.tokens, settled.iter().map(|(_, used)| used).sum::<u64>());
    }
}
