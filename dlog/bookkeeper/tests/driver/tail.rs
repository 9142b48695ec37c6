use core::time::Duration;

use distributedlog_bookkeeper::driver::LedgerAccess;
use distributedlog_bookkeeper::{EntryId, NO_ENTRY};
use tokio::time::Instant;

use crate::kit::{Kit, payload};

#[tokio::test(start_paused = true)]
async fn a_reader_sees_an_entry_when_another_one_confirms_it() {
    let kit = Kit::new(20, 3).await;
    let other = kit.another_client().await;
    let writer = kit.create().await;
    let reader = other
        .open(writer.ledger(), &LedgerAccess::default())
        .await
        .expect("it is there");
    assert_eq!(reader.last_confirmed().await, Ok(NO_ENTRY));
    writer.append(&payload(0)).await.expect("taken");
    assert_eq!(reader.last_confirmed().await, Ok(NO_ENTRY));
    writer.append(&payload(1)).await.expect("taken");
    assert_eq!(reader.last_confirmed().await, Ok(0));
    let mut entries = reader.entries(0, 0, 1).expect("a small ensemble");
    let entry = entries.next().await.expect("one").expect("readable");
    assert_eq!(entry.payload, payload(0));
    assert!(entries.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_poll_ends_with_the_next_entry_or_after_its_time() {
    let kit = Kit::new(21, 3).await;
    let other = kit.another_client().await;
    let writer = kit.create().await;
    for number in 0..3 {
        writer.append(&payload(number)).await.expect("taken");
    }
    let reader = other
        .open(writer.ledger(), &LedgerAccess::default())
        .await
        .expect("it is there");
    let wait = Duration::from_secs(1);
    let at_once = reader.poll(0, wait).await;
    assert_eq!(at_once.last_confirmed, 1);
    let entry = at_once.entry.expect("the bookie has the next entry");
    assert_eq!((entry.entry, entry.payload), (1, payload(1)));

    let began = Instant::now();
    assert_eq!(reader.poll(1, wait).await.last_confirmed, 1);
    assert!(began.elapsed() >= wait, "{:?}", began.elapsed());

    let (polled, appended) = tokio::join!(reader.poll(1, wait), async {
        writer.append(&payload(3)).await
    });
    appended.expect("taken");
    let last: EntryId = polled.last_confirmed;
    assert_eq!(last, 2);
}
