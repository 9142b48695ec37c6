//! One script, played against the model and against a real server: their replies are equal.

use core::fmt::Debug;
use core::time::Duration;

use distributedlog_bookkeeper::driver::zookeeper::Session;
use distributedlog_bookkeeper::zookeeper::{
    Access, CreateMode, NodeWatch, Op, OpReply, Stat, ZooKeeper, ZooKeeperError,
    create_with_parents,
};
use distributedlog_testkit::VirtualClock;
use distributedlog_testkit::zookeeper::{Ensemble, ModelSession};

/// A session that a script can end.
pub(crate) trait Ending: ZooKeeper {
    async fn end(self);
}

impl Ending for ModelSession {
    async fn end(self) {
        self.close();
    }
}

impl Ending for Session {
    async fn end(self) {
        Self::close(&self).await;
    }
}

/// Plays the script and notes the replies, without what differs from run to run.
struct Player<'a, Z> {
    zookeeper: &'a Z,
    root: String,
    notes: Vec<String>,
}

impl<Z: ZooKeeper> Player<'_, Z> {
    fn note(&mut self, step: &str, reply: impl Debug) {
        let session = self.zookeeper.session().to_string();
        let reply = format!("{reply:?}").replace(&self.root, "ROOT");
        self.notes
            .push(format!("{step}: {}", reply.replace(&session, "SESSION")));
    }

    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.root)
    }

    async fn create(&mut self, name: &str, data: &[u8], mode: CreateMode) {
        let path = self.path(name);
        let reply = self
            .zookeeper
            .create(&path, data, mode, Access::Anyone)
            .await;
        if let Err(ZooKeeperError::Refused(_)) = reply {
            // Each server has words of its own for it.
            return self.note(&format!("create {name} {mode:?}"), "refused");
        }
        self.note(&format!("create {name} {mode:?}"), reply);
    }

    async fn set(&mut self, name: &str, data: &[u8], version: Option<i32>) {
        let reply = self.zookeeper.set(&self.path(name), data, version).await;
        self.note(&format!("set {name} {version:?}"), reply.map(plain));
    }

    async fn delete(&mut self, name: &str, version: Option<i32>) {
        let reply = self.zookeeper.delete(&self.path(name), version).await;
        self.note(&format!("delete {name} {version:?}"), reply);
    }

    async fn show(&mut self, name: &str) {
        let path = self.path(name);
        let reply = self.zookeeper.get(&path).await;
        self.note(
            &format!("get {name}"),
            reply.map(|(data, stat)| (String::from_utf8(data), plain(stat))),
        );
        let reply = self.zookeeper.children(&path).await;
        let reply = reply.map(|(mut names, stat)| {
            names.sort();
            (names, plain(stat))
        });
        self.note(&format!("children of {name}"), reply);
        let reply = self.zookeeper.exists(&path).await;
        self.note(&format!("exists {name}"), reply.map(|it| it.map(plain)));
    }

    async fn multi(&mut self, step: &str, ops: Vec<Op>) {
        let reply = self.zookeeper.multi(&ops).await;
        let reply = reply.map(|replies| {
            let shown = replies.into_iter().map(|reply| {
                if let OpReply::Set(stat) = reply {
                    format!("Set({:?})", plain(stat))
                } else {
                    format!("{reply:?}")
                }
            });
            shown.collect::<Vec<_>>()
        });
        self.note(&format!("multi {step}"), reply);
    }

    fn op_create(&self, name: &str, mode: CreateMode) -> Op {
        Op::Create {
            path: self.path(name),
            data: b"multi".to_vec(),
            mode,
            access: Access::Anyone,
        }
    }

    fn op_set(&self, name: &str, version: Option<i32>) -> Op {
        Op::Set {
            path: self.path(name),
            data: b"multi".to_vec(),
            version,
        }
    }

    fn op_delete(&self, name: &str, version: Option<i32>) -> Op {
        Op::Delete {
            path: self.path(name),
            version,
        }
    }

    fn op_check(&self, name: &str, version: i32) -> Op {
        Op::Check {
            path: self.path(name),
            version,
        }
    }
}

/// A state without the numbers and times of the ensemble.
fn plain(stat: Stat) -> Stat {
    assert!(stat.created_zxid > 0 && stat.modified_zxid >= stat.created_zxid);
    assert!(stat.created_unix_ms > 1_600_000_000_000);
    Stat {
        created_zxid: 0,
        modified_zxid: 0,
        created_unix_ms: 0,
        ..stat
    }
}

/// Waits for an event that the script has caused.
async fn event(watch: NodeWatch) -> impl Debug {
    tokio::time::timeout(Duration::from_secs(20), watch)
        .await
        .expect("the script has caused an event")
}

async fn nodes<Z: ZooKeeper>(p: &mut Player<'_, Z>) {
    let root = p.root.clone();
    let reply = create_with_parents(
        p.zookeeper,
        &format!("{root}/deep/er/node"),
        b"x",
        CreateMode::Persistent,
        Access::Anyone,
    )
    .await;
    p.note("create with parents", reply);
    p.show("/deep").await;
    p.create("/deep", b"", CreateMode::Persistent).await;
    p.create("/none/child", b"", CreateMode::Persistent).await;
    p.create("/a", b"one", CreateMode::Persistent).await;
    p.set("/a", b"two", Some(0)).await;
    p.set("/a", b"three", Some(0)).await;
    p.set("/a", b"four", None).await;
    p.set("/none", b"", None).await;
    p.show("/a").await;
    p.show("/none").await;
    p.delete("/deep", None).await;
    p.delete("/none", None).await;
    p.delete("/a", Some(1)).await;
    p.delete("/a", Some(2)).await;
    p.create("/e", b"", CreateMode::Ephemeral).await;
    p.create("/e/child", b"", CreateMode::Persistent).await;
    p.show("/e").await;
    for name in ["//", "/x//y", "/./x", "/x/../y"] {
        p.create(name, b"", CreateMode::Persistent).await;
    }
    let reply = p.zookeeper.sync(&root).await;
    p.note("sync", reply);
}

async fn sequences<Z: ZooKeeper>(p: &mut Player<'_, Z>) {
    p.create("/seq", b"", CreateMode::Persistent).await;
    p.create("/seq/n-", b"", CreateMode::EphemeralSequential)
        .await;
    p.create("/seq/n-", b"", CreateMode::PersistentSequential)
        .await;
    p.delete("/seq/n-0000000001", None).await;
    // Deletions and other names count no further, creations of any name do.
    p.create("/seq/other", b"", CreateMode::Persistent).await;
    p.create("/seq/n-", b"", CreateMode::EphemeralSequential)
        .await;
    p.create("/seq/", b"", CreateMode::PersistentSequential)
        .await;
    p.show("/seq").await;
}

async fn multis<Z: ZooKeeper>(p: &mut Player<'_, Z>) {
    use CreateMode::{EphemeralSequential, Persistent};
    p.multi("empty", Vec::new()).await;
    let ops = vec![
        p.op_create("/m", Persistent),
        p.op_create("/m/1", Persistent),
        p.op_create("/m/2-", EphemeralSequential),
        p.op_set("/m", Some(0)),
        p.op_check("/m", 1),
        p.op_delete("/m/1", Some(0)),
    ];
    p.multi("all kinds", ops).await;
    p.show("/m").await;
    let ops = vec![p.op_create("/m", Persistent), p.op_set("/m", None)];
    p.multi("first exists", ops).await;
    let ops = vec![p.op_set("/m", None), p.op_set("/m", Some(1))];
    p.multi("second has another version", ops).await;
    let ops = vec![
        p.op_create("/m/3", Persistent),
        p.op_delete("/m", None),
        p.op_check("/m", 7),
    ];
    p.multi("second has children", ops).await;
    let ops = vec![p.op_create("/m/3", Persistent), p.op_check("/m", 7)];
    p.multi("check of another version", ops).await;
    let ops = vec![p.op_create("/m/3", Persistent), p.op_delete("/no", None)];
    p.multi("delete of none", ops).await;
    let ops = vec![p.op_create("/m/3", Persistent), p.op_set("/no", None)];
    p.multi("set of none", ops).await;
    p.show("/m").await;
    let ops = vec![
        p.op_create("/m/4", Persistent),
        p.op_set("/m/4", Some(0)),
        p.op_delete("/m/4", Some(1)),
        p.op_create("/m/4", Persistent),
    ];
    p.multi("create, delete and create again", ops).await;
    p.show("/m/4").await;
    p.show("/m").await;
}

async fn watches<Z: ZooKeeper>(p: &mut Player<'_, Z>) {
    p.create("/w", b"", CreateMode::Persistent).await;
    let path = p.path("/w");
    let (_, _, data) = p.zookeeper.get_and_watch(&path).await.expect("is there");
    let (_, _, children) = p
        .zookeeper
        .children_and_watch(&path)
        .await
        .expect("is there");
    let later = p.path("/w/later");
    let (stat, created) = p.zookeeper.exists_and_watch(&later).await.expect("a reply");
    p.note("exists of none", stat);
    p.create("/w/later", b"", CreateMode::Persistent).await;
    let events = (event(created).await, event(children).await);
    p.note("events of a creation", events);
    p.set("/w", b"new", None).await;
    let changed = event(data).await;
    p.note("event of a set", changed);

    let (_, _, children) = p
        .zookeeper
        .children_and_watch(&path)
        .await
        .expect("is there");
    let (_, _, data) = p.zookeeper.get_and_watch(&later).await.expect("is there");
    let (_, _, below) = p
        .zookeeper
        .children_and_watch(&later)
        .await
        .expect("is there");
    let ops = vec![
        p.op_delete("/w/later", None),
        p.op_create("/w/later", CreateMode::Persistent),
    ];
    p.multi("replaces a watched node", ops).await;
    let events = (event(children).await, event(data).await, event(below).await);
    p.note("events of a multi", events);
    let missing = p.path("/none");
    let failed = p.zookeeper.get_and_watch(&missing).await;
    p.note("watch of none", failed.map(|_| ()));
    let failed = p.zookeeper.children_and_watch(&missing).await;
    p.note("children of none", failed.map(|_| ()));
}

/// A session ends: its nodes are deleted, and its watches end.
async fn end_of_session<Z: Ending>(p: &mut Player<'_, Z>, other: Z) {
    let owned = p.path("/owned");
    let mode = CreateMode::Ephemeral;
    let reply = other.create(&owned, b"", mode, Access::Anyone).await;
    p.note("create by another session", reply);
    let (stat, gone) = p.zookeeper.exists_and_watch(&owned).await.expect("a reply");
    let owner = stat.expect("is there").ephemeral_owner;
    assert_eq!(owner, other.session());
    let root = p.root.clone();
    let (_, _, watch) = other.get_and_watch(&root).await.expect("is there");
    let ended = other.ended();
    let silence = other.silence();
    assert!(silence < other.session_timeout(), "{silence:?}");
    other.end().await;
    p.note("end", ended.await);
    let events = (event(gone).await, event(watch).await);
    p.note("events of the end", events);
    p.show("/owned").await;
}

pub(crate) async fn play<Z: Ending>(zookeeper: &Z, other: Z, root: &str) -> Vec<String> {
    let mut player = Player {
        zookeeper,
        root: root.to_owned(),
        notes: Vec::new(),
    };
    player.create("", b"root", CreateMode::Persistent).await;
    nodes(&mut player).await;
    sequences(&mut player).await;
    multis(&mut player).await;
    watches(&mut player).await;
    end_of_session(&mut player, other).await;
    player.notes
}

pub(crate) async fn play_on_model() -> Vec<String> {
    let ensemble = Ensemble::new();
    let timeout = Duration::from_secs(10);
    let session = ensemble.session(VirtualClock::new(), timeout);
    let other = ensemble.session(VirtualClock::new(), timeout);
    play(&session, other, "/script").await
}

#[tokio::test]
async fn the_model_replies_as_recorded() {
    let notes = play_on_model().await.join("\n");
    let recorded = include_str!("script.txt");
    if notes.trim() != recorded.trim() {
        let path = concat!(env!("CARGO_TARGET_TMPDIR"), "/script.txt");
        std::fs::write(path, notes + "\n").expect("the target folder can be written");
        panic!("the replies differ from tests/zookeeper/script.txt; they are in {path}");
    }
}
