use core::time::Duration;

use distributedlog_bookkeeper::driver::{Appended, LedgerAccess, LedgerError};
use distributedlog_bookkeeper::ledger::{CloseReason, RecoveryError};
use distributedlog_testkit::bookies::BookieMode;
use tokio::time::{Instant, sleep};

use crate::kit::{Kit, payload};

#[tokio::test(start_paused = true)]
async fn without_a_spare_bookie_it_goes_on_with_the_ack_quorum() {
    for mode in [BookieMode::Down, BookieMode::Silent] {
        let kit = Kit::new(10, 3).await;
        let writer = kit.create().await;
        writer.append(&payload(0)).await.expect("taken");
        kit.cluster
            .bookies
            .set_mode(&kit.cluster.bookies.ids()[1], mode);
        for number in 1..200 {
            let appended = writer.append(&payload(number)).await.expect("taken");
            assert_eq!(appended, Appended::Confirmed(number), "{mode:?}");
        }
        // A silent bookie counts as failed after its time.
        sleep(Duration::from_secs(3)).await;
        assert_eq!(writer.failed_bookies(), 1, "{mode:?}");
        writer.close();
        assert_eq!(writer.ended().await.last_entry, Some(199));
        assert_eq!(kit.read_all(writer.ledger()).await, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_bookie_that_comes_back_gets_what_it_missed() {
    let kit = Kit::new(11, 3).await;
    let writer = kit.create().await;
    let bookie = kit.cluster.bookies.ids()[0].clone();
    kit.cluster.bookies.set_mode(&bookie, BookieMode::Down);
    writer.append(&payload(0)).await.expect("taken");
    kit.cluster.bookies.set_mode(&bookie, BookieMode::Up);
    sleep(Duration::from_secs(20)).await;
    let mut number = 1;
    while writer.failed_bookies() > 0 {
        writer.append(&payload(number)).await.expect("taken");
        number += 1;
        sleep(Duration::from_secs(1)).await;
    }
    writer.append(&payload(number)).await.expect("taken");
    sleep(Duration::from_secs(1)).await;
    let copies = kit.cluster.bookies.copies(writer.ledger(), number);
    assert_eq!(copies.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_spare_bookie_takes_the_place_of_one_that_died() {
    let kit = Kit::new(12, 4).await;
    let writer = kit.create().await;
    writer.append(&payload(0)).await.expect("taken");
    let dead = writer.metadata().metadata.last_segment().ensemble[2].clone();
    kit.cluster.bookies.set_mode(&dead, BookieMode::Down);
    kit.cluster.unregister(&dead);
    for number in 1..50 {
        let appended = writer.append(&payload(number)).await.expect("taken");
        assert_eq!(appended, Appended::Confirmed(number));
    }
    let ensemble = writer.metadata().metadata.last_segment().ensemble.clone();
    assert!(!ensemble.contains(&dead), "{ensemble:?}");
    writer.close();
    writer.ended().await;
    assert_eq!(kit.read_all(writer.ledger()).await, 50);
    assert_eq!(kit.cluster.bookies.copies(writer.ledger(), 40).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_read_only_bookie_is_replaced() {
    let kit = Kit::new(13, 4).await;
    let writer = kit.create().await;
    writer.append(&payload(0)).await.expect("taken");
    let full = writer.metadata().metadata.last_segment().ensemble[0].clone();
    kit.cluster.bookies.set_read_only(&full, true);
    for number in 1..20 {
        let appended = writer.append(&payload(number)).await.expect("taken");
        assert_eq!(appended, Appended::Confirmed(number));
    }
    let ensemble = writer.metadata().metadata.last_segment().ensemble.clone();
    assert!(!ensemble.contains(&full), "{ensemble:?}");
}

#[tokio::test(start_paused = true)]
async fn with_too_few_bookies_the_ledger_is_closed_and_says_what_became_of_each_entry() {
    let kit = Kit::new(14, 3).await;
    let writer = kit.create().await;
    writer.append(&payload(0)).await.expect("taken");
    let ids = kit.cluster.bookies.ids();
    kit.cluster.bookies.set_mode(&ids[0], BookieMode::Down);
    kit.cluster.bookies.set_mode(&ids[1], BookieMode::Down);
    let appended = writer.append(&payload(1)).await.expect("taken");
    assert_eq!(appended, Appended::NotWritten);
    let end = writer.ended().await;
    assert_eq!(
        (end.last_entry, end.reason),
        (Some(0), CloseReason::NotEnoughBookies)
    );
    let stored = kit
        .client
        .metadata(writer.ledger())
        .await
        .expect("it is there");
    assert_eq!(stored.metadata.last_entry, 0);
}

#[tokio::test(start_paused = true)]
async fn a_silent_bookie_costs_a_recovery_no_time() {
    let kit = Kit::new(15, 3).await;
    let writer = kit.create().await;
    for number in 0..5 {
        writer.append(&payload(number)).await.expect("taken");
    }
    let ledger = writer.ledger();
    drop(writer);
    kit.cluster
        .bookies
        .set_mode(&kit.cluster.bookies.ids()[2], BookieMode::Silent);
    let began = Instant::now();
    assert_eq!(kit.read_all_recovered(ledger).await, 5);
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_recovery_that_hears_too_few_bookies_fails_and_the_next_one_succeeds() {
    let kit = Kit::new(16, 3).await;
    let writer = kit.create().await;
    for number in 0..5 {
        writer.append(&payload(number)).await.expect("taken");
    }
    let ledger = writer.ledger();
    drop(writer);
    let ids = kit.cluster.bookies.ids();
    for bookie in &ids[..2] {
        kit.cluster.bookies.set_mode(bookie, BookieMode::Down);
    }
    let other = kit.another_client().await;
    let failed = other.recover(ledger, &LedgerAccess::default()).await;
    assert_eq!(
        failed.err(),
        Some(LedgerError::Recovery(ledger, RecoveryError::NotCovered))
    );
    for bookie in &ids[..2] {
        kit.cluster.bookies.set_mode(bookie, BookieMode::Up);
    }
    assert_eq!(kit.read_all_recovered(ledger).await, 5);
}
