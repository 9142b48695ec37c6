//! Values of `zookeeper-client` and ours.

use zookeeper_client as zk;

use crate::zookeeper::{
    Access, CreateMode, MultiError, NodeEvent, OpReply, SessionEnd, Stat, ZooKeeperError,
};

/// Rights of a node's creator: only its own user may change or delete it, everyone may read it.
const CREATOR: &[zk::Acl] = &[
    zk::Acl::new_const(zk::Permission::ALL, "auth", ""),
    zk::Acl::new_const(zk::Permission::READ, "world", "anyone"),
];

/// Returns the options to create a node with.
pub(super) fn options(mode: CreateMode, access: Access) -> zk::CreateOptions<'static> {
    let acls = match access {
        Access::Anyone => zk::Acls::anyone_all(),
        Access::Creator => zk::Acls::new(CREATOR),
    };
    let mode = match mode {
        CreateMode::Persistent => zk::CreateMode::Persistent,
        CreateMode::PersistentSequential => zk::CreateMode::PersistentSequential,
        CreateMode::Ephemeral => zk::CreateMode::Ephemeral,
        CreateMode::EphemeralSequential => zk::CreateMode::EphemeralSequential,
    };
    mode.with_acls(acls)
}

/// Converts a node's state.
pub(super) const fn stat(stat: &zk::Stat) -> Stat {
    Stat {
        version: stat.version,
        children_version: stat.cversion,
        created_zxid: stat.czxid,
        modified_zxid: stat.mzxid,
        created_unix_ms: stat.ctime,
        ephemeral_owner: stat.ephemeral_owner,
        children: stat.num_children,
    }
}

/// Converts an error. One that does not come from the server's decision about this request says
/// nothing about it: it may have been applied.
pub(super) fn error(error: &zk::Error) -> ZooKeeperError {
    match error {
        zk::Error::NoNode => ZooKeeperError::NoNode,
        zk::Error::NodeExists => ZooKeeperError::NodeExists,
        zk::Error::BadVersion => ZooKeeperError::BadVersion,
        zk::Error::NotEmpty => ZooKeeperError::NotEmpty,
        zk::Error::NoChildrenForEphemerals => ZooKeeperError::EphemeralParent,
        zk::Error::NoAuth => ZooKeeperError::NoAuth,
        zk::Error::SessionExpired | zk::Error::AuthFailed | zk::Error::ClientClosed => {
            ZooKeeperError::SessionEnded
        }
        zk::Error::BadArguments(_)
        | zk::Error::InvalidAcl
        | zk::Error::SessionMoved
        | zk::Error::NotReadOnly
        | zk::Error::QuotaExceeded
        | zk::Error::Throttled
        | zk::Error::Unimplemented => ZooKeeperError::Refused(error.to_string()),
        // Loss of the connection, and what else the client makes of it: I/O errors, and replies
        // that do not decode. Caution is the same for what a later version adds.
        zk::Error::ConnectionLoss
        | zk::Error::Timeout
        | zk::Error::NoHosts
        | zk::Error::UnmarshalError { .. }
        | zk::Error::UnexpectedError(_)
        | zk::Error::UnexpectedErrorCode(_)
        | zk::Error::MarshallingError
        | zk::Error::NoWatcher
        | zk::Error::ReconfigDisabled
        | zk::Error::RuntimeInconsistent
        | zk::Error::Custom(_)
        | _ => ZooKeeperError::Lost,
    }
}

/// Converts the error of a multi.
pub(super) fn multi_error(failed: &zk::MultiWriteError) -> MultiError {
    match failed {
        zk::MultiWriteError::RequestFailed { source } => MultiError::Request(error(source)),
        zk::MultiWriteError::OperationFailed { index, source } => {
            let mut error = error(source);
            if error.may_have_been_applied() {
                // The server decided about the operation, so none was applied, whatever its code.
                error = ZooKeeperError::Refused(source.to_string());
            }
            MultiError::Operation {
                index: *index,
                error,
            }
        }
    }
}

/// Converts the reply to an operation of a multi, or returns `None` for one that is not known.
pub(super) fn op_reply(reply: zk::MultiWriteResult) -> Option<OpReply> {
    Some(match reply {
        zk::MultiWriteResult::Check => OpReply::Checked,
        zk::MultiWriteResult::Delete => OpReply::Deleted,
        zk::MultiWriteResult::Create { path, .. } => OpReply::Created(path),
        zk::MultiWriteResult::SetData { stat: changed } => OpReply::Set(stat(&changed)),
        _ => return None,
    })
}

/// Converts the event of a watch.
pub(super) const fn node_event(event: &zk::WatchedEvent) -> NodeEvent {
    match event.event_type {
        zk::EventType::Session => NodeEvent::SessionEnded,
        zk::EventType::NodeCreated => NodeEvent::Created,
        zk::EventType::NodeDeleted => NodeEvent::Deleted,
        zk::EventType::NodeDataChanged => NodeEvent::DataChanged,
        zk::EventType::NodeChildrenChanged => NodeEvent::ChildrenChanged,
    }
}

/// State of a session, as far as requests care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connection {
    Connected,
    Disconnected,
    Ended(SessionEnd),
}

/// Converts a session's state.
pub(super) const fn connection(state: zk::SessionState) -> Connection {
    match state {
        zk::SessionState::SyncConnected => Connection::Connected,
        // Sessions with servers that only read are not asked for.
        zk::SessionState::Disconnected | zk::SessionState::ConnectedReadOnly => {
            Connection::Disconnected
        }
        zk::SessionState::AuthFailed => Connection::Ended(SessionEnd::AuthFailed),
        zk::SessionState::Expired => Connection::Ended(SessionEnd::Expired),
        zk::SessionState::Closed => Connection::Ended(SessionEnd::Closed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_servers_decision_says_that_nothing_was_changed() {
        for lost in [
            zk::Error::ConnectionLoss,
            zk::Error::Timeout,
            zk::Error::UnexpectedErrorCode(-1),
            zk::Error::UnexpectedError("cut".to_owned()),
            zk::Error::MarshallingError,
        ] {
            assert_eq!(error(&lost), ZooKeeperError::Lost, "{lost}");
        }
        let ended = error(&zk::Error::SessionExpired);
        assert!(ended.may_have_been_applied());
        for refused in [zk::Error::Throttled, zk::Error::BadVersion] {
            assert!(!error(&refused).may_have_been_applied(), "{refused}");
        }
    }

    #[test]
    fn a_multi_whose_operation_was_refused_changed_nothing_whatever_the_code() {
        let failed = zk::MultiWriteError::OperationFailed {
            index: 2,
            source: zk::Error::UnexpectedErrorCode(-999),
        };
        let failed = multi_error(&failed);
        assert!(matches!(failed, MultiError::Operation { index: 2, .. }));
        assert!(!failed.may_have_been_applied());
        let lost = zk::MultiWriteError::RequestFailed {
            source: zk::Error::ConnectionLoss,
        };
        assert!(multi_error(&lost).may_have_been_applied());
    }
}
