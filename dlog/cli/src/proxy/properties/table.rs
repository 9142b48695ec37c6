//! The table of the keys of the original's configuration files.

use super::super::effective::Target::{BookKeeper, Port, Proxy, Shard};
use super::keys::{Key, Needs, Off, Unit, ignored, only, sets, sets_or};

/// Limits that are only counted, not enforced, while this is on, as it is by default.
const ENFORCED: Option<Needs> = Some(Needs {
    key: "outstandingWriteLimitDarkmode",
    value: "false",
    default: "true",
});

/// Retention by age is off if the application truncates.
const BY_AGE: Option<Needs> = Some(Needs {
    key: "explicitTruncationByApp",
    value: "false",
    default: "false",
});

const THREADS: &str = "threads and timers are the runtime's own";
const RETRIES: &str = "retries have bounds of their own, in time";
const READERS: &str = "it is of Java's readers; readers here need no setting for it";
const STATS: &str = "metrics are always on: -sp PORT";
const TRACES: &str = "warnings and traces are switched by -v and RUST_LOG";
const FAULTS: &str = "faults are injected by --faults and over the stats port";
const RATES: &str = "no rate is limited; requests and bytes that wait are: --max-requests, \
                     --max-bytes";
const FLUSH: &str = "each append is sent at once, and a control record follows the last one after \
                     --control-delay";

/// Every key that is known.
pub(super) const KEYS: &[Key] = &[
    sets(
        &["bkcEnsembleSize", "ensemble-size"],
        BookKeeper("ensemble_size"),
        Unit::Count,
    ),
    sets(
        &["bkcWriteQuorumSize", "write-quorum-size"],
        BookKeeper("write_quorum"),
        Unit::Count,
    ),
    sets(
        &["bkcAckQuorumSize", "ack-quorum-size"],
        BookKeeper("ack_quorum"),
        Unit::Count,
    ),
    sets(
        &["compressionType"],
        BookKeeper("compress_entries"),
        Unit::Codec,
    ),
    sets(
        &["maxLogSegmentBytes"],
        BookKeeper("segment_bytes"),
        Unit::Count,
    ),
    sets_or(
        &["logSegmentRollingMinutes", "rolling-interval"],
        BookKeeper("segment_age"),
        Unit::Minutes,
        ("0", Off::Year),
        None,
    ),
    sets_or(
        &["logSegmentRetentionHours", "retention-size"],
        BookKeeper("retention"),
        Unit::Hours,
        ("0", Off::None),
        BY_AGE,
    ),
    sets_or(
        &["writerOutputBufferSize", "output-buffer-size"],
        BookKeeper("entry_bytes"),
        Unit::Count,
        ("0", Off::Default),
        None,
    ),
    sets(
        &["minimumDelayBetweenImmediateFlushMilliSeconds"],
        BookKeeper("control_delay"),
        Unit::Millis,
    ),
    sets(
        &["zkSessionTimeoutSeconds"],
        BookKeeper("session_timeout"),
        Unit::Seconds,
    ),
    sets(
        &["bkcWriteTimeoutSeconds"],
        BookKeeper("add_timeout"),
        Unit::Seconds,
    ),
    sets(
        &["bkcReadTimeoutSeconds"],
        BookKeeper("read_timeout"),
        Unit::Seconds,
    ),
    sets_or(
        &["server_service_timeout_ms", "serviceTimeoutMs"],
        BookKeeper("append_timeout"),
        Unit::Millis,
        ("0", Off::Default),
        None,
    ),
    sets(
        &["createStreamIfNotExists"],
        Proxy("create_missing_streams"),
        Unit::Switch,
    ),
    sets_or(
        &["maxAcquiredPartitionsPerProxy"],
        Proxy("max_streams"),
        Unit::Count,
        ("-1", Off::Default),
        None,
    ),
    sets_or(
        &["perWriterOutstandingWriteLimit"],
        Proxy("max_requests_per_stream"),
        Unit::Count,
        ("-1", Off::Default),
        ENFORCED,
    ),
    sets_or(
        &["globalOutstandingWriteLimit"],
        Proxy("max_requests"),
        Unit::Count,
        ("-1", Off::Default),
        ENFORCED,
    ),
    sets(&["server_port"], Port, Unit::Count),
    sets_or(
        &["server_shard"],
        Shard,
        Unit::Count,
        ("-1", Off::Default),
        None,
    ),
    // Refused with another value.
    only(
        &["isDurableWriteEnabled", "server_durable_write_enabled"],
        &["true"],
        "a record is acknowledged when its bookies have it on disk, and never before",
    ),
    only(
        &["server_mode"],
        &["DURABLE"],
        "records that are kept in memory alone are not supported",
    ),
    only(
        &["federatedNamespaceEnabled"],
        &["false"],
        "namespaces in several parts are not supported",
    ),
    only(
        &["digestPw"],
        &[""],
        "ledgers with a password are not supported",
    ),
    only(
        &["zkAclId"],
        &[""],
        "namespaces with access control lists are not supported",
    ),
    only(
        &["unpartitionedStreamName"],
        &["<default>"],
        "every stream has one partition of this name",
    ),
    only(
        &["ledgerMetadataLayoutVersion", "ledger-metadata-layout"],
        &["5"],
        "log segments are written in this version, which all readers since 0.3 know",
    ),
    only(
        &["logSegmentNameVersion"],
        &["1"],
        "log segments are named in this version",
    ),
    only(
        &["server_dlsn_version"],
        &["1"],
        "positions are sent in this version",
    ),
    only(
        &["writeLockEnabled"],
        &["true"],
        "without its lock a stream would have several writers",
    ),
    only(
        &["bkc.ensemblePlacementPolicy"],
        &[
            "org.apache.bookkeeper.client.RackawareEnsemblePlacementPolicy",
            "org.apache.bookkeeper.client.DefaultEnsemblePlacementPolicy",
        ],
        "bookies are chosen at random among those that answer; placement by region is not \
         supported",
    ),
    only(
        &[
            "bkRowAwareEnsemblePlacement",
            "row-aware-ensemble-placement",
        ],
        &["false"],
        "placement by rows is not supported",
    ),
    only(
        &["outstandingWriteLimitDarkmode"],
        &["true", "false"],
        "it decides whether the limits of outstanding writes hold",
    ),
    only(
        &["explicitTruncationByApp"],
        &["true", "false"],
        "it decides whether log segments are deleted by age",
    ),
    // Without effect: writing.
    ignored(
        &["enableImmediateFlush", "periodicFlushFrequencyMilliSeconds"],
        FLUSH,
    ),
    ignored(
        &["periodicKeepAliveMilliSeconds"],
        "idle streams get no records; readers here do not need them",
    ),
    ignored(
        &["logSegmentRollingConcurrency"],
        "a change of log segments delays no append, so that their number needs no limit",
    ),
    ignored(
        &["disableRollingOnLogSegmentError"],
        "another log segment always follows one that failed",
    ),
    ignored(
        &["failFastOnStreamNotReady"],
        "requests wait while a stream is acquired, within the limits of what waits",
    ),
    ignored(
        &["maxIdSanityCheck", "sanityCheckDelete"],
        "transaction ids are this proxy's own and always ascend",
    ),
    ignored(
        &[
            "firstLogsegmentSequenceNumber",
            "first-logsegment-sequence-number",
        ],
        "the namespace's binding has it: dlog admin bind -seqno N",
    ),
    ignored(
        &[
            "encodeRegionIDInVersion",
            "encodeDCIDInVersion",
            "server_region_id",
        ],
        "log segments name no region",
    ),
    ignored(
        &[
            "ledgerMetadataSkipMinVersionCheck",
            "logSegmentSequenceNumberValidationEnabled",
            "enableRecordCounts",
        ],
        "it is always checked and counted",
    ),
    ignored(
        &["recoverLogSegmentsInBackground"],
        "log segments are recovered when their stream is acquired",
    ),
    ignored(
        &[
            "enableLedgerAllocatorPool",
            "ledgerAllocatorPool*",
            "server_use_hostname_as_allocator_pool_name",
        ],
        "ledgers are created when they are needed; pools of Java's proxies are left alone",
    ),
    ignored(
        &[
            "lockTimeoutSeconds",
            "lockReacquireTimeoutSeconds",
            "lockOpTimeoutSeconds",
        ],
        "a lock that another proxy holds is not waited for: clients are redirected",
    ),
    ignored(
        &["bkcZKSessionTimeoutSeconds"],
        "one session serves streams and ledgers: zkSessionTimeoutSeconds",
    ),
    ignored(
        &["bkc.delayEnsembleChange"],
        "with the ack quorum a log segment goes on, and bookies that failed are replaced as soon \
         as others are there",
    ),
    ignored(
        &[
            "bkc.enableParallelRecoveryRead",
            "bkc.recoveryReadBatchSize",
        ],
        "a recovery always asks all bookies at once, and reads ahead",
    ),
    ignored(&["bkc.*"], "it is a setting of Java's client of BookKeeper"),
    ignored(
        &["logFlushTimeoutSeconds"],
        "appends have a limit of time: --append-timeout",
    ),
    ignored(
        &[
            "bkEnsemblePlacementDnsResolverClass",
            "dnsResolverOverrides",
        ],
        "bookies are found by their registrations",
    ),
    // The proxy.
    ignored(
        &["server_graceful_shutdown_period_ms"],
        "the proxy leaves its serverset before it is drained, within --drain-timeout",
    ),
    ignored(
        &["server_writer_close_timeout_ms"],
        "closing a stream ends with --append-timeout",
    ),
    ignored(
        &[
            "server_stream_probation_timeout_ms",
            "streamProbationTimeoutMs",
        ],
        "a stream that failed is acquired again with the next request",
    ),
    ignored(
        &["server_resource_placement_refresh_interval_sec"],
        "owners are read from the streams' locks, not placed by load",
    ),
    ignored(
        &["maxCachedPartitionsPerProxy"],
        "streams of others are not kept",
    ),
    ignored(
        &[
            "stream_partition_converter_class",
            "streamConfigRouterClass",
        ],
        "it names a Java class",
    ),
    ignored(
        &[
            "bpsSoftWriteLimit",
            "bpsHardWriteLimit",
            "rpsSoftWriteLimit",
            "rpsHardWriteLimit",
            "rpsSoftServiceLimit",
            "rpsHardServiceLimit",
            "rpsStreamAcquireServiceLimit",
            "bpsSoftServiceLimit",
            "bpsHardServiceLimit",
            "bpsStreamAcquireServiceLimit",
        ],
        RATES,
    ),
    ignored(
        &[
            "server_threads",
            "numWorkerThreads",
            "numReadAheadWorkerThreads",
            "numLockStateThreads",
            "numResourceReleaseThreads",
            "bkcNumIOThreads",
            "bkcNumWorkerThreads",
            "zkcNumRetryThreads",
            "schedulerShutdownTimeoutMs",
            "useDaemonThread",
            "timerTickDuration",
            "timerNumTicks",
        ],
        THREADS,
    ),
    ignored(
        &[
            "zkNumRetries",
            "zkRetryStartBackoffMillis",
            "zkRetryMaxBackoffMillis",
            "zkRequestRateLimit",
            "bkcZKNumRetries",
            "bkcZKRetryStartBackoffMillis",
            "bkcZKRetryMaxBackoffMillis",
            "bkcZKRequestRateLimit",
        ],
        RETRIES,
    ),
    ignored(
        &[
            "logSegmentCacheTTLMs",
            "logSegmentCacheMaxSize",
            "logSegmentCacheEnabled",
            "checkLogExistence*",
        ],
        "log segments are kept as long as ZooKeeper's watches on them hold",
    ),
    ignored(
        &[
            "enablePerStreamStat",
            "server_enable_perstream_stat",
            "enableTaskExecutionStats",
            "codahaleStats*",
        ],
        STATS,
    ),
    ignored(
        &[
            "taskExecutionWarnTimeMicros",
            "metadataLatencyWarnThresholdMs",
            "dataLatencyWarnThresholdMs",
            "traceReadAhead*",
        ],
        TRACES,
    ),
    ignored(
        &["featureProviderClass", "fileFeatureProvider*"],
        "features are not switched while the proxy runs",
    ),
    ignored(
        &["dynamicConfig*"],
        "the file is read when the proxy starts",
    ),
    ignored(&["federated*"], "it is of namespaces in several parts"),
    ignored(&["eiInject*"], FAULTS),
    // Readers.
    ignored(
        &[
            "readLACLongPoll",
            "readLACLongPollTimeout",
            "deserializeRecordSetOnReads",
            "readerIdle*",
            "ignoreTruncationStatus",
            "alertPositionOnTruncated",
            "positionGapDetectionEnabled",
            "enableReadAhead",
            "enableForceRead",
            "readAhead*",
            "ReadAhead*",
            "numPrefetchEntriesPerLogSegment",
            "maxPrefetchEntriesPerLogSegment",
            "firstNumEntriesEachPerLastRecordScan",
            "maxNumEntriesPerReadLastRecordScan",
        ],
        READERS,
    ),
];
