//! Ledgers over bookies and a ZooKeeper ensemble in memory: the driver with its connections, in
//! tokio's time, which passes at once.

mod failures;
mod kit;
mod tail;

use distributedlog_bookkeeper::driver::{Appended, LedgerAccess, LedgerError, LedgerOptions};
use distributedlog_bookkeeper::ledger::CloseReason;
use kit::{Kit, payload};

#[tokio::test(start_paused = true)]
async fn a_ledger_is_written_closed_and_read() {
    let kit = Kit::new(1, 3).await;
    let writer = kit.create().await;
    for number in 0..100 {
        let appended = writer.append(&payload(number)).await.expect("taken");
        assert_eq!(appended, Appended::Confirmed(number));
    }
    writer.close();
    let end = writer.ended().await;
    assert_eq!(
        (end.last_entry, end.reason),
        (Some(99), CloseReason::Finished)
    );
    assert_eq!(kit.read_all(writer.ledger()).await, 100);
    let stored = kit
        .client
        .metadata(writer.ledger())
        .await
        .expect("it is there");
    let bytes: usize = (0..100).map(|it| payload(it).len()).sum();
    assert_eq!(stored.metadata.length, bytes as u64);
}

#[tokio::test(start_paused = true)]
async fn entries_that_are_appended_at_once_are_confirmed_in_their_order() {
    let kit = Kit::new(2, 3).await;
    let writer = kit.create().await;
    let (sender, mut outcomes) = tokio::sync::mpsc::unbounded_channel();
    for number in 0..500 {
        let sender = sender.clone();
        let entry = writer.append_with(&payload(number), move |appended| {
            sender.send(appended).ok();
        });
        assert_eq!(entry, Ok(number));
    }
    for number in 0..500 {
        assert_eq!(outcomes.recv().await, Some(Appended::Confirmed(number)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_its_writer_left_is_recovered_with_every_confirmed_entry() {
    let kit = Kit::new(3, 3).await;
    let writer = kit.create().await;
    for number in 0..10 {
        writer.append(&payload(number)).await.expect("taken");
    }
    let ledger = writer.ledger();
    drop(writer);
    assert_eq!(kit.read_all_recovered(ledger).await, 10);
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_was_fenced_says_so_and_resolves_what_it_had_sent() {
    let kit = Kit::new(4, 3).await;
    let other = kit.another_client().await;
    let writer = kit.create().await;
    writer.append(&payload(0)).await.expect("taken");
    let recovered = other
        .recover(writer.ledger(), &LedgerAccess::default())
        .await
        .expect("the bookies are up");
    let last = recovered.metadata().metadata.last_entry;
    let appended = writer.append(&payload(1)).await.expect("taken");
    let is_there = last >= 1;
    assert_eq!(
        appended == Appended::NotWritten,
        !is_there,
        "{appended:?}, last {last}"
    );
    let end = writer.ended().await;
    assert_eq!(end.last_entry, Some(last));
    assert!(
        matches!(end.reason, CloseReason::Refused(_) | CloseReason::TakenOver),
        "{end:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_deleted_ledger_is_gone_and_its_writer_is_stopped() {
    let kit = Kit::new(5, 3).await;
    let writer = kit.create().await;
    writer.append(&payload(0)).await.expect("taken");
    let ledger = writer.ledger();
    let access = LedgerAccess::default();
    kit.client.delete(ledger, &access).await.expect("deleted");
    kit.client
        .delete(ledger, &access)
        .await
        .expect("deleting it again is no error");
    let opened = kit.client.open(ledger, &access).await;
    assert_eq!(opened.err(), Some(LedgerError::NotFound(ledger)));
    let appended = writer.append(&payload(1)).await.expect("taken");
    assert_ne!(appended, Appended::Confirmed(1), "the bookies were fenced");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_is_refused_with_a_reason() {
    let kit = Kit::new(6, 2).await;
    let refused = kit.client.create(&LedgerOptions::default()).await;
    let expected = LedgerError::NotEnoughBookies {
        wanted: 3,
        available: 2,
    };
    assert_eq!(refused.err(), Some(expected));
    let options = LedgerOptions {
        ack_quorum: 4,
        ..LedgerOptions::default()
    };
    let refused = kit.client.create(&options).await;
    assert_eq!(refused.err(), Some(LedgerError::Quorums));
    let options = LedgerOptions {
        ensemble_size: 2,
        write_quorum: 2,
        ack_quorum: 1,
        password: "secret".into(),
        ..LedgerOptions::default()
    };
    let writer = kit
        .client
        .create(&options)
        .await
        .expect("two bookies are there");
    let refused = kit
        .client
        .open(writer.ledger(), &LedgerAccess::default())
        .await;
    assert_eq!(
        refused.err(),
        Some(LedgerError::WrongPassword(writer.ledger()))
    );
}
